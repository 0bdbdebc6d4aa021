//! [`Storing`]: writes of a running handler that must not be lost, because what they record cannot be undone or costs money.
//!
//! See [`super::handler::JobContext::store`]. Never opens a transaction itself.

use super::database_state::DatabaseState;
use base::{
    db::Unavailability,
    telemetry::{chain, millis},
};
use std::{convert::Infallible, error::Error, time::Duration};
use tokio::{sync::watch, time::Instant};

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// Whether the handler of an attempt waits for the database to take such a write; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Storing(watch::Sender<bool>);

impl Storing {
    /// Repeats `write` until it succeeds or fails with another error than a transient one.
    ///
    /// # Errors
    /// The first error that is not transient.
    pub(super) async fn store<T, E: Error + 'static, W: Future<Output = Result<T, E>>>(
        &self,
        mut write: impl FnMut() -> W,
        is_transient: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let mut retry = FIRST_RETRY;
        loop {
            let error = match write().await {
                Err(error) if is_transient(&error) => error,
                ended => {
                    self.0.send_replace(false);
                    return ended;
                }
            };
            self.0.send_replace(true);
            tracing::warn!(
                error = chain(&error),
                retry_ms = millis(retry),
                "could not store what the attempt did; retrying"
            );
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    /// Counts the attempt among those whose outcome is refused, for as long as it waits. Never ends.
    pub(super) async fn count_waits(&self, database: &DatabaseState) -> Infallible {
        let mut waits = self.0.subscribe();
        loop {
            // Never an error: `self` is a sender.
            drop(waits.wait_for(|waits| *waits).await);
            let refused = database.refuse(Unavailability::Cancelled);
            drop(waits.wait_for(|waits| !waits).await);
            drop(refused);
        }
    }

    /// Ends when the handler has run for `limit`, apart from the time in which it waited for the database.
    pub(super) async fn time_limit(&self, limit: Duration) {
        let mut waits = self.0.subscribe();
        let mut left = limit;
        loop {
            let started = Instant::now();
            tokio::select! {
                () = tokio::time::sleep(left) => return,
                // Never an error: `self` is a sender.
                _ = waits.wait_for(|waits| *waits) => left = left.saturating_sub(started.elapsed()),
            }
            let _ended = waits.wait_for(|waits| !waits).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Debug, PartialEq, thiserror::Error)]
    enum WriteError {
        #[error("away")]
        Away,
        #[error("wrong")]
        Wrong,
    }

    #[tokio::test(start_paused = true)]
    async fn write_is_repeated_while_the_database_is_away_and_not_if_it_is_wrong() {
        let storing = Storing::default();
        let tries = AtomicU32::new(0);
        let write = || async {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0..20 => Err::<(), _>(WriteError::Away),
                _ => Err(WriteError::Wrong),
            }
        };
        let ended = storing.store(write, |error| *error == WriteError::Away);
        assert_eq!(ended.await, Err(WriteError::Wrong));
        assert_eq!(tries.into_inner(), 21);
    }

    #[tokio::test(start_paused = true)]
    async fn time_limit_does_not_count_the_wait_for_the_database() {
        const AWAY: Duration = Duration::from_secs(1000);
        let (storing, started) = (Storing::default(), Instant::now());
        let limit = storing.time_limit(Duration::from_secs(10));
        let handler = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let away_until = Instant::now() + AWAY;
            let write = || async {
                if Instant::now() < away_until {
                    Err(WriteError::Away)
                } else {
                    Ok(())
                }
            };
            storing.store(write, |_| true).await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = limit => {}
            () = handler => {}
        }
        let rest = started.elapsed() - AWAY;
        assert!((10..14).contains(&rest.as_secs()), "{rest:?}");
    }
}
