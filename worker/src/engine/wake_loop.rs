//! Turns signals of other processes into looks at the queue, and makes due jobs available.

use super::Engine;
use jobs::queue::{claim::promote_due, listen::Signal};
use std::sync::Arc;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};

/// Due jobs per statement; what is left over is taken by the next one at once.
const BATCH: u32 = 1000;

pub(super) async fn run(engine: Arc<Engine>) {
    let mut signals = engine.listener.subscribe();
    let mut tick = interval(engine.config.poll);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            signal = signals.recv() => match signal {
                Ok(Signal::JobAvailable { queue }) => engine.wake(&queue),
                Ok(Signal::Resumed) | Err(RecvError::Lagged(_)) => engine.wake_all(),
                Ok(Signal::JobFinished { .. } | Signal::SessionRevoked { .. }) => {}
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => promote(&engine).await,
        }
    }
}

/// Every worker does this: rows that another one is promoting are skipped.
async fn promote(engine: &Engine) {
    loop {
        let mut queues = match promote_due(&engine.pool, BATCH).await {
            Ok(queues) => queues,
            Err(error) => {
                tracing::warn!(%error, "could not look for due jobs; trying again");
                return;
            }
        };
        let full = queues.len() == BATCH as usize;
        queues.sort_unstable();
        queues.dedup();
        for queue in queues {
            engine.wake(&queue);
            engine.notifier.job_available(&queue);
        }
        if !full || engine.stopping.is_cancelled() {
            return;
        }
    }
}
