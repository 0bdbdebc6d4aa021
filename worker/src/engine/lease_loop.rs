//! Renews every lease of this process with one statement, three times per lease.

use super::Engine;
use jobs::queue::lease;
use std::sync::Arc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

pub(super) async fn run(engine: Arc<Engine>) {
    let length = engine.config.lease;
    let every = length / 3;
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = engine.drained.cancelled() => return,
            _ = tick.tick() => {}
        }
        let held = engine.held.all();
        if !held.is_empty() {
            // By the process's own clock and from before the statement was sent: never longer than the database's lease.
            let asked_at = Instant::now();
            match timeout(every, lease::renew(&engine.queue_pool, &held, length)).await {
                Ok(Ok(kept)) => engine.held.renewed(&held, &kept, asked_at, length),
                Ok(Err(error)) => {
                    tracing::warn!(%error, leases = held.len(), "could not renew leases; trying again");
                }
                Err(_) => tracing::warn!(
                    leases = held.len(),
                    "renewing leases took too long; trying again"
                ),
            }
        }
        engine.held.expire(Instant::now());
    }
}
