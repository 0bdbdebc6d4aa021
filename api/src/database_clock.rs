//! The loop that lets this process go by the database's clock: [`follow`].

use base::{db::PgPool, telemetry::chain};
use queue::operate::clock;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Follows the clock until `stopping`. The first look is done before this returns, so that no request is served by a wrong one.
pub(crate) async fn follow(pool: PgPool, stopping: CancellationToken) -> impl Future<Output = ()> {
    look(&pool).await;
    async move {
        let mut tick = interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = tick.tick() => {}
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = look(&pool) => {}
            }
        }
    }
}

async fn look(pool: &PgPool) {
    match timeout(TIMEOUT, clock::follow(pool)).await {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(ahead))) => tracing::warn!(
            ahead_seconds = ahead.num_seconds(),
            "the database's clock differs from this machine's; this process goes by the database's"
        ),
        Ok(Err(error)) => {
            tracing::debug!(error = chain(&error), "could not read the database's clock");
        }
        Err(_) => tracing::debug!("reading the database's clock timed out"),
    }
}
