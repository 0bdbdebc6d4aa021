//! Why the database refuses what requests ask of it, where a probe sees nothing: [`DatabaseState`].
//!
//! A probe writes nothing and reads few tables, so it passes while the disk is full or a table is missing.

use crate::error::ApiError;
use base::db::Unavailability;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::Instant;

/// How long a failure counts after its last request. A process that is not ready gets no requests, and so could not learn that
/// the database is mended.
const MEMORY: Duration = Duration::from_secs(10);

/// The state; shared by all requests.
#[derive(Debug, Default)]
pub struct DatabaseState {
    /// Why the last request of an operation failed, and when, by operation.
    refused: Mutex<HashMap<&'static str, (Unavailability, Instant)>>,
}

impl DatabaseState {
    /// Records that a request of the operation succeeded.
    pub fn served(&self, operation: &'static str) {
        self.lock().remove(operation);
    }

    /// Records why a request of the operation failed, if the database refused it for a reason that lasts and that no probe sees.
    pub fn failed(&self, operation: &'static str, error: &ApiError) {
        let reason = error
            .cause()
            .and_then(|cause| Unavailability::among_causes(cause));
        if let Some(
            reason @ (Unavailability::DiskFull
            | Unavailability::OutOfResources
            | Unavailability::MissingRight
            | Unavailability::SchemaDiffers),
        ) = reason
        {
            self.lock().insert(operation, (reason, Instant::now()));
        }
    }

    /// Why the database lately refused requests; `None` if it did not.
    pub fn unavailability(&self) -> Option<Unavailability> {
        let mut refused = self.lock();
        refused.retain(|_, (_, at)| at.elapsed() < MEMORY);
        let latest = refused.values().max_by_key(|(_, at)| *at);
        latest.map(|(reason, _)| *reason)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, (Unavailability, Instant)>> {
        self.refused
            .lock()
            .expect("no holder of this lock can panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_no_probe_sees_is_remembered_for_a_while() {
        let state = DatabaseState::default();
        state.failed("a", &base::db::SqlError::PoolTimedOut.into());
        state.failed("a", &ApiError::not_found());
        assert_eq!(state.unavailability(), None);
        let reason = Unavailability::DiskFull;
        state.lock().insert("a", (reason, Instant::now()));
        state.served("b");
        assert_eq!(state.unavailability(), Some(reason));
        tokio::time::advance(MEMORY).await;
        assert_eq!(state.unavailability(), None);
        state.lock().insert("a", (reason, Instant::now()));
        state.served("a");
        assert_eq!(state.unavailability(), None);
    }
}
