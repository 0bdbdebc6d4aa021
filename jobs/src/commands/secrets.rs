//! The stored secrets and the keys that seal them: [`check_keys`] at a process' start, and [`reseal`] after a key was put
//! first in `CREDENTIAL_KEYS`.
//!
//! Resealing works in small batches beside the running service and can be repeated: what is sealed with the first key is
//! left alone.

use super::{connections::connect, users::second_factor};
use crate::{
    domain::{
        ConnectionId, UserId,
        connection::{Secret, WebhookSecret},
    },
    secrets::{KeyRing, Unsealable},
    store::{
        connections::{self, unsealed_urls},
        sealing, second_factors,
    },
};
use sqlx::PgPool;

/// Secrets in one transaction.
const BATCH: i64 = 100;

/// The process cannot use the stored secrets.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(
        "CREDENTIAL_KEYS: the secrets in the database need the key {id}, which it does not hold"
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
    for id in sealing::key_ids(pool).await? {
        if !keys.is_some_and(|ring| ring.holds(&id)) {
            return Err(KeysError::Missing { id });
        }
    }
    Ok(())
}

/// The secrets were not all sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    #[error("could not open the secret of connection {0}")]
    OpenConnection(ConnectionId, #[source] Unsealable),
    #[error("could not open the second factor of user {0}")]
    OpenSecondFactor(UserId, #[source] Unsealable),
    #[error("could not write the secrets")]
    Database(#[from] sqlx::Error),
}

/// Seals every secret that an older key seals with the active one, and the URLs of webhooks that are not sealed. Returns how many.
///
/// # Errors
/// If a secret does not open, or the database refuses; batches that were committed stay.
pub async fn reseal(pool: &PgPool, keys: &KeyRing) -> Result<u64, ResealError> {
    let connections = reseal_connections(pool, keys).await?;
    let second_factors = reseal_second_factors(pool, keys).await?;
    // Last, so that nothing that is wrong with a URL keeps a secret under its former key.
    Ok(connections + second_factors + seal_urls(pool, keys).await?)
}

/// Seals the URLs of webhooks that were connected before this was done at once.
async fn seal_urls(pool: &PgPool, keys: &KeyRing) -> Result<u64, ResealError> {
    let mut done = 0;
    loop {
        let mut tx = pool.begin().await?;
        let found = unsealed_urls::lock(&mut tx, BATCH).await?;
        if found.is_empty() {
            return Ok(done);
        }
        for one in found {
            let sealed = match one.secret.is_empty() {
                true => None,
                false => {
                    let known = connect::open_webhook_secret(keys, one.tenant, one.id, &one.secret)
                        .map_err(|source| ResealError::OpenConnection(one.id, source))?;
                    let secret = Secret::Webhook(WebhookSecret {
                        signing: known.signing,
                        url: Some(one.url.clone()),
                    });
                    Some(keys.seal(connect::place(one.tenant, one.id), &secret.joined()))
                }
            };
            unsealed_urls::set_sealed(&mut tx, &one, sealed.as_ref()).await?;
            done += 1;
        }
        tx.commit().await?;
    }
}

/// A secret that is replaced meanwhile is skipped or already new.
async fn reseal_connections(pool: &PgPool, keys: &KeyRing) -> Result<u64, ResealError> {
    let mut done = 0;
    loop {
        let mut tx = pool.begin().await?;
        let old = connections::lock_sealed_by_others(&mut tx, keys.active(), BATCH).await?;
        if old.is_empty() {
            return Ok(done);
        }
        for (tenant, id, sealed) in old {
            let row = connect::place(tenant, id);
            let secret = keys
                .open(row, &sealed)
                .map_err(|source| ResealError::OpenConnection(id, source))?;
            connections::set_sealed(&mut tx, tenant, id, &keys.seal(row, &secret)).await?;
            done += 1;
        }
        tx.commit().await?;
    }
}

async fn reseal_second_factors(pool: &PgPool, keys: &KeyRing) -> Result<u64, ResealError> {
    let mut done = 0;
    loop {
        let mut tx = pool.begin().await?;
        let old = second_factors::lock_sealed_by_others(&mut tx, keys.active(), BATCH).await?;
        if old.is_empty() {
            return Ok(done);
        }
        for (tenant, user, sealed) in old {
            let row = second_factor::place(tenant, user);
            let secret = keys
                .open(row, &sealed)
                .map_err(|source| ResealError::OpenSecondFactor(user, source))?;
            second_factors::set_sealed(&mut tx, tenant, user, &keys.seal(row, &secret)).await?;
            done += 1;
        }
        tx.commit().await?;
    }
}
