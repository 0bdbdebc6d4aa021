//! [`PasswordHasher`]: argon2 on threads of its own, as many at once as there are cores. [`Verifier`] adds the keys that open
//! second factors.
//!
//! Unbounded, a burst of log-ins would take 19 MiB each and starve everything else.

use crate::{
    domain::password::{self, NewPassword, Verified},
    secrets::KeyRing,
};
use secrecy::SecretString;
use std::{num::NonZero, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// How long a log-in waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Hashes and verifies passwords; cheap to clone, one per process.
#[derive(Clone)]
pub struct PasswordHasher {
    turns: Arc<Semaphore>,
    /// A hash that no password has, for log-ins of users who do not exist: they must take the same time.
    decoy: Arc<str>,
}

/// What verifies a person: their password, and a code of their second factor.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    pub hasher: &'a PasswordHasher,
    /// Open the secrets of second factors; without them no user has one.
    pub keys: Option<&'a KeyRing>,
}

/// The password was neither hashed nor verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashingError {
    #[error("too many passwords wait to be hashed")]
    Busy,
    #[error("the process is stopping")]
    Stopping,
}

impl PasswordHasher {
    /// One password per core of this machine at a time.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        // The decoy's password is a fresh token, which nobody has seen.
        let nobodys = crate::domain::SessionToken::generate();
        let decoy = password::hash(&SecretString::from(nobodys.expose()));
        Self {
            turns: Arc::new(Semaphore::new(cores)),
            decoy: decoy.into(),
        }
    }

    /// Returns the PHC string to store for a new password.
    ///
    /// # Errors
    /// If its turn does not come in time.
    pub async fn hash(&self, password: NewPassword) -> Result<String, HashingError> {
        self.in_turn(move || password::hash(&password.into_secret()))
            .await
    }

    /// Returns the PHC string of a password that was just verified, even if today's rules would refuse it.
    pub(super) async fn rehash(&self, password: SecretString) -> Result<String, HashingError> {
        self.in_turn(move || password::hash(&password)).await
    }

    /// Verifies a password against a stored PHC string; without one it takes as long and fails.
    pub(in crate::commands) async fn verify(
        &self,
        stored: Option<String>,
        password: SecretString,
    ) -> Result<Verified, HashingError> {
        let decoy = Arc::clone(&self.decoy);
        self.in_turn(move || {
            let against = stored.as_deref().unwrap_or(&decoy);
            let verified = password::verify(against, &password);
            if stored.is_some() {
                verified
            } else {
                Verified::Wrong
            }
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashingError> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_| HashingError::Busy)?
            .map_err(|_| HashingError::Stopping)?;
        // The permit moves into the thread: a client that hangs up does not stop the thread, so it must not free its
        // slot.
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
        .map_err(|_| HashingError::Stopping)
    }
}

impl Default for PasswordHasher {
    fn default() -> Self {
        Self::new()
    }
}
