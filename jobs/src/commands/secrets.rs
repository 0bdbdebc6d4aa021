//! The stored secrets and the keys that seal them: [`check_keys`] at a process' start, [`reseal`] after a key was put first in
//! `CREDENTIAL_KEYS`, and [`forget_key`] when one is lost.

mod forget;
mod reseal;

pub use forget::{Forgotten, forget_key};
pub use reseal::{ResealError, Resealed, SecretOwner, Unopened, reseal};

use crate::{secrets::KeyRing, store::sealing};
use sqlx::PgPool;

/// Secrets in one transaction.
const BATCH: i64 = 100;

/// The process cannot use the stored secrets.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(
        "CREDENTIAL_KEYS: the secrets in the database need the key {id}, which it does not hold. Put it back; if it is lost, give \
         up what it seals with `postroom-api admin connections forget-key {id}`"
    )]
    Missing { id: String },
    #[error("could not read which keys the secrets need")]
    Database(#[from] sqlx::Error),
}

/// Checks that the key of every stored secret is configured.
///
/// # Errors
/// Names the key that is missing.
pub async fn check_keys(pool: &PgPool, keys: Option<&KeyRing>) -> Result<(), KeysError> {
    for needed in sealing::keys_in_use(pool).await? {
        let id = needed.id;
        if !keys.is_some_and(|ring| ring.holds(&id)) {
            return Err(KeysError::Missing { id });
        }
    }
    Ok(())
}
