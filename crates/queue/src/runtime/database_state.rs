//! [`DatabaseState`]: what this worker last learned about its database, for readiness, metrics and rescues.

use base::db::Unavailability;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::Instant;

/// How long the rescue of expired leases waits after the database is back. Every worker that lives returns its own jobs
/// meanwhile, so that an outage is not taken for the death of all workers.
const RECOVERY_GRACE: Duration = Duration::from_secs(5);
/// A worker that starts does not know whether the database was away: its first rescue waits for this part of a lease.
const START_PART: u32 = 6;
/// Claims that fail for this long show that the database does not serve, whatever the reason: a single one may have met a lock.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(10);

/// The state; shared by the loops and the attempts.
#[derive(Debug)]
pub struct DatabaseState {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Why the last poll failed.
    poll: Option<Unavailability>,
    /// Why the last claim of a queue failed, and from when on that counts, by queue.
    claims: HashMap<&'static str, (Unavailability, Instant)>,
    /// No lease is rescued before.
    rescues_from: Option<Instant>,
    /// Attempts whose outcome the database refuses.
    refused: usize,
    /// Those of them that it would refuse whatever they wrote, and why it refused the last one.
    unserved: usize,
    reason: Option<Unavailability>,
}

impl DatabaseState {
    /// The state of a worker that starts, perhaps because the database is back.
    pub(super) fn at_start(lease: Duration) -> Self {
        let known = Known {
            rescues_from: Some(Instant::now() + RECOVERY_GRACE.min(lease / START_PART)),
            ..Known::default()
        };
        Self {
            known: Mutex::new(known),
        }
    }

    /// Records the result of a poll. An error that may concern this statement alone says nothing about the database.
    pub(super) fn polled(&self, result: Result<(), &sqlx::Error>) {
        let mut known = self.lock();
        match result {
            Ok(()) => {
                if known.poll.take().is_some() {
                    known.rescues_from = Some(Instant::now() + RECOVERY_GRACE);
                }
            }
            Err(error) => {
                if let Some(reason) = Unavailability::of(error)
                    && !reason.may_concern_one_statement()
                {
                    known.poll = Some(reason);
                }
            }
        }
    }

    /// Records the result of a queue's claim, which writes where a poll only reads, or of what a claim needs. An error that may
    /// concern this statement alone says something about the database when it lasts.
    pub(super) fn claimed(&self, queue: &'static str, result: Result<(), &sqlx::Error>) {
        let mut known = self.lock();
        let Err(error) = result else {
            known.claims.remove(queue);
            return;
        };
        let reason = Unavailability::of(error);
        let is_certain = reason.is_some_and(|reason| !reason.may_concern_one_statement());
        let delay = if is_certain {
            Duration::ZERO
        } else {
            CLAIM_TIMEOUT
        };
        let reason = reason.unwrap_or(Unavailability::ServerFault);
        let since = Instant::now() + delay;
        let claim = known.claims.entry(queue).or_insert((reason, since));
        *claim = (reason, claim.1.min(since));
    }

    /// Records that the database is back after an outage in which no poll failed.
    pub(super) fn was_away(&self) {
        self.lock().rescues_from = Some(Instant::now() + RECOVERY_GRACE);
    }

    /// Records that the database refuses an attempt's outcome, until the value is dropped. A reason that may concern its
    /// statement alone says nothing about the database.
    pub(super) fn refuse(&self, reason: Unavailability) -> RefusedOutcome<'_> {
        let mut known = self.lock();
        known.refused += 1;
        let is_unserved = !reason.may_concern_one_statement();
        if is_unserved {
            known.unserved += 1;
            known.reason = Some(reason);
        }
        RefusedOutcome {
            state: self,
            is_unserved,
        }
    }

    /// Why the database does not serve this worker; `None` if it does.
    pub fn unavailability(&self) -> Option<Unavailability> {
        let known = self.lock();
        let refused = known.reason.filter(|_| known.unserved > 0);
        let mut claims = known.claims.values();
        let claim = claims.find(|(_, since)| *since <= Instant::now());
        known.poll.or(refused).or(claim.map(|(reason, _)| *reason))
    }

    /// Counts the attempts whose outcome the database refuses.
    pub fn refused_outcomes(&self) -> usize {
        self.lock().refused
    }

    /// How long a rescue must wait for other workers to return their jobs.
    pub(super) fn rescue_delay(&self) -> Duration {
        let from = self.lock().rescues_from;
        from.map_or(Duration::ZERO, |from| {
            from.saturating_duration_since(Instant::now())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder of this lock can panic")
    }
}

/// An outcome that the database refuses.
pub(super) struct RefusedOutcome<'a> {
    state: &'a DatabaseState,
    is_unserved: bool,
}

impl RefusedOutcome<'_> {
    /// Whether the database serves no attempt, as far as this one shows.
    pub(super) fn is_unserved(&self) -> bool {
        self.is_unserved
    }
}

impl Drop for RefusedOutcome<'_> {
    fn drop(&mut self) {
        let mut known = self.state.lock();
        known.refused -= 1;
        known.unserved -= usize::from(self.is_unserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rescue_waits_after_the_start_and_after_an_outage_and_only_then() {
        let lease = Duration::from_secs(6);
        let state = DatabaseState::at_start(lease);
        state.polled(Ok(()));
        assert_eq!(state.rescue_delay(), Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(state.rescue_delay(), Duration::ZERO);
        state.polled(Err(&sqlx::Error::PoolTimedOut));
        assert_eq!(state.unavailability(), Some(Unavailability::Unreachable));
        state.polled(Ok(()));
        assert_eq!(state.unavailability(), None);
        assert_eq!(state.rescue_delay(), RECOVERY_GRACE);
        tokio::time::advance(RECOVERY_GRACE).await;
        assert_eq!(state.rescue_delay(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn claims_that_fail_for_long_show_that_the_database_does_not_serve() {
        let state = DatabaseState::at_start(Duration::from_secs(30));
        // Says nothing about the database.
        let odd = sqlx::Error::RowNotFound;
        state.claimed("triage", Err(&odd));
        tokio::time::advance(CLAIM_TIMEOUT / 2).await;
        state.claimed("triage", Err(&odd));
        assert_eq!(state.unavailability(), None);
        tokio::time::advance(CLAIM_TIMEOUT / 2).await;
        assert_eq!(state.unavailability(), Some(Unavailability::ServerFault));
        state.claimed("triage", Ok(()));
        assert_eq!(state.unavailability(), None);
        state.claimed("triage", Err(&odd));
        assert_eq!(state.unavailability(), None);
    }

    #[test]
    fn claim_that_fails_is_known_until_one_of_its_queue_succeeds() {
        let state = DatabaseState::at_start(Duration::from_secs(30));
        let unreachable = sqlx::Error::PoolTimedOut;
        state.claimed("triage", Err(&unreachable));
        state.claimed("draft", Ok(()));
        state.polled(Ok(()));
        let known = state.unavailability();
        assert_eq!(known, Some(Unavailability::Unreachable));
        state.claimed("triage", Ok(()));
        assert_eq!(state.unavailability(), None);
    }

    #[test]
    fn refused_outcome_is_counted_until_it_is_dropped() {
        let state = DatabaseState::at_start(Duration::from_secs(30));
        let refused = state.refuse(Unavailability::MissingRight);
        assert_eq!(state.refused_outcomes(), 1);
        assert_eq!(state.unavailability(), Some(Unavailability::MissingRight));
        drop(refused);
        assert_eq!(state.unavailability(), None);
        let slow = state.refuse(Unavailability::Cancelled);
        assert_eq!(
            (state.refused_outcomes(), state.unavailability()),
            (1, None)
        );
        drop(slow);
        assert_eq!(state.refused_outcomes(), 0);
    }
}
