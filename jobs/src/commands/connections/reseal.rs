//! Sealing stored secrets anew with the first key of `CREDENTIAL_KEYS`: [`reseal`], after a key was added.
//!
//! Works in small batches beside the running service and can be repeated: what is sealed with the first key is left
//! alone. A secret that is replaced meanwhile is skipped or already new.

use super::connect::place;
use crate::{
    secrets::{KeyRing, Unsealable},
    store::connections,
};
use sqlx::PgPool;

/// Secrets in one transaction.
const BATCH: i64 = 100;

/// The secrets were not all sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    #[error("could not open the secret of connection {0}")]
    Open(crate::domain::ConnectionId, #[source] Unsealable),
    #[error("could not write the secrets")]
    Database(#[from] sqlx::Error),
}

/// Seals every secret that an older key seals with the active one. Returns how many.
///
/// # Errors
/// If a secret does not open, or the database refuses; batches that were committed stay.
pub async fn reseal(pool: &PgPool, keys: &KeyRing) -> Result<u64, ResealError> {
    let mut done = 0;
    loop {
        let mut tx = pool.begin().await?;
        let old = connections::lock_sealed_by_others(&mut tx, keys.active(), BATCH).await?;
        if old.is_empty() {
            return Ok(done);
        }
        for (tenant, id, sealed) in old {
            let row = place(tenant, id);
            let secret = keys
                .open(row, &sealed)
                .map_err(|source| ResealError::Open(id, source))?;
            connections::set_sealed(&mut tx, tenant, id, &keys.seal(row, &secret)).await?;
            done += 1;
        }
        tx.commit().await?;
    }
}
