//! The cancel loop: learns of requested cancellations from signals, and by polling every second while jobs run.

use crate::runtime::engine::Engine;
use crate::{run::cancel, signals::listener::Signal};
use base::telemetry::chain;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};

/// A running job learns of its cancellation within this time, even if the notification is lost.
const POLL_INTERVAL: Duration = Duration::from_millis(900);

pub(super) async fn run(engine: Arc<Engine>) {
    let mut signals = engine.listener.subscribe();
    let mut tick = interval(POLL_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = engine.drained.cancelled() => return,
            signal = signals.recv() => match signal {
                Ok(Signal::CancelRequested { job }) => engine.leases.cancel(job),
                // The next tick finds missed requests.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => poll(&engine).await,
        }
    }
}

/// Polls only while jobs run.
async fn poll(engine: &Engine) {
    if engine.leases.is_empty() {
        return;
    }
    match cancel::requested(&engine.queue_pool, engine.worker).await {
        Ok(jobs) => jobs.into_iter().for_each(|job| engine.leases.cancel(job)),
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "could not read cancel requests; retrying"
            );
        }
    }
}
