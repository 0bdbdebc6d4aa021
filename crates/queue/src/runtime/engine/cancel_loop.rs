//! Hears which of the running jobs somebody wants stopped: by a signal, and by asking every second while jobs run.

use super::Engine;
use crate::{run::cancel, signals::listener::Signal};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};

/// A wish reaches a running job within this time, also when nobody tells of it.
const POLL: Duration = Duration::from_millis(900);

pub(super) async fn run(engine: Arc<Engine>) {
    let mut signals = engine.listener.subscribe();
    let mut tick = interval(POLL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = engine.drained.cancelled() => return,
            signal = signals.recv() => match signal {
                Ok(Signal::CancelRequested { job }) => engine.held.cancel(job),
                // What was missed is asked for with the next tick.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => look(&engine).await,
        }
    }
}

/// Asks only while jobs run: an idle worker has nothing to cancel.
async fn look(engine: &Engine) {
    if engine.held.is_empty() {
        return;
    }
    match cancel::requested(&engine.queue_pool, engine.worker).await {
        Ok(jobs) => jobs.into_iter().for_each(|job| engine.held.cancel(job)),
        Err(error) => {
            tracing::warn!(%error, "could not ask for cancelled jobs; trying again");
        }
    }
}
