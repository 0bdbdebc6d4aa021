//! The lease loop: renews the leases of this process with one statement, and drops those that ran out.
//!
//! Renews only leases that are older than a quarter of their length, each about three times in that length. Most jobs end
//! sooner; renewing those too wrote each of them once more and collided with their settles: 13 deadlocks in five minutes at
//! 20,000 jobs a second.

use crate::lease;
use crate::runtime::engine::Engine;
use base::telemetry::chain;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

pub(super) async fn run(engine: Arc<Engine>) {
    let length = engine.config.lease;
    let mut tick = ticks(length / 6);
    // Independent of the renewal, which waits while the database hangs: leases must expire meanwhile.
    let mut expiry = ticks(length / 20);
    loop {
        let ending_within = tokio::select! {
            () = engine.drained.cancelled() => return,
            _ = expiry.tick() => {
                engine.leases.expire(Instant::now());
                continue;
            }
            _ = tick.tick() => length * 3 / 4,
            // By the database's clock all of them may have ended.
            () = engine.clock_jumped.notified() => length * 2,
        };
        let renewal = renew(&engine, ending_within);
        tokio::pin!(renewal);
        loop {
            tokio::select! {
                () = &mut renewal => break,
                _ = expiry.tick() => engine.leases.expire(Instant::now()),
            }
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn renew(engine: &Engine, ending_within: Duration) {
    let length = engine.config.lease;
    let held = engine.leases.due(Instant::now() + ending_within);
    if held.is_empty() {
        return;
    }
    // By this process's clock, from before the statement was sent: never longer than the database's lease.
    let sent_at = Instant::now();
    match timeout(length / 3, lease::renew(&engine.queue_pool, &held, length)).await {
        Ok(Ok(kept)) => engine.leases.renewed(&held, &kept, sent_at, length),
        Ok(Err(error)) => {
            tracing::warn!(
                error = chain(&error),
                leases = held.len(),
                "could not renew leases; retrying"
            );
        }
        Err(_) => tracing::warn!(leases = held.len(), "renewing leases timed out; retrying"),
    }
}
