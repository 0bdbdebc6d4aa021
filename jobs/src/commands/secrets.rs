//! The stored secrets and the keys that seal them: [`check_keys`] at a process' start, [`reseal`] after a key was put first in
//! `CREDENTIAL_KEYS`, and [`forget_key`] when one is lost.
//!
//! Resealing works in small batches beside the running service and can be repeated: what is sealed with the first key is
//! left alone.

mod forget;

pub use forget::{Forgotten, forget_key};

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
use std::fmt;

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

/// What was sealed anew, and what was not.
#[derive(Debug, Default)]
pub struct Resealed {
    pub sealed: u64,
    /// The secrets that did not open. They stay as they were.
    pub unopened: Vec<Unopened>,
}

/// A secret that did not open.
#[derive(Debug)]
pub struct Unopened {
    pub row: SecretOwner,
    pub source: Unsealable,
}

/// The row of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretOwner {
    Connection(ConnectionId),
    SecondFactor(UserId),
}

impl fmt::Display for SecretOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(id) => write!(f, "connection {id}"),
            Self::SecondFactor(user) => write!(f, "second factor of user {user}"),
        }
    }
}

/// Seals every secret that an older key seals with the active one, and the URLs of webhooks that are not sealed. One that does
/// not open is left and reported: it must not keep the others under their former key.
///
/// # Errors
/// If the database refuses; batches that were committed stay.
pub async fn reseal(pool: &PgPool, keys: &KeyRing) -> Result<Resealed, sqlx::Error> {
    let mut done = Resealed::default();
    reseal_connections(pool, keys, &mut done).await?;
    reseal_second_factors(pool, keys, &mut done).await?;
    seal_urls(pool, keys, &mut done).await?;
    Ok(done)
}

impl Resealed {
    /// Counts a secret that was opened; notes one that was not.
    fn note<T>(&mut self, row: SecretOwner, opened: Result<T, Unsealable>) -> Option<T> {
        match opened {
            Ok(opened) => {
                self.sealed += 1;
                Some(opened)
            }
            Err(source) => {
                // The secret of a webhook is opened once for its key and once for its URL.
                if self.unopened.iter().all(|known| known.row != row) {
                    self.unopened.push(Unopened { row, source });
                }
                None
            }
        }
    }
}

/// Seals the URLs of webhooks that were connected before this was done at once.
async fn seal_urls(pool: &PgPool, keys: &KeyRing, done: &mut Resealed) -> Result<(), sqlx::Error> {
    let mut after = None;
    loop {
        let mut tx = pool.begin().await?;
        let found = unsealed_urls::lock(&mut tx, after, BATCH).await?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        after = Some((last.tenant, last.id));
        for one in found {
            let row = SecretOwner::Connection(one.id);
            let known = match one.secret.is_empty() {
                true => Ok(None),
                false => {
                    connect::open_webhook_secret(keys, one.tenant, one.id, &one.secret).map(Some)
                }
            };
            let Some(known) = done.note(row, known) else {
                continue;
            };
            let sealed = known.map(|known| {
                let secret = Secret::Webhook(WebhookSecret {
                    signing: known.signing,
                    url: Some(one.url.clone()),
                });
                keys.seal(connect::place(one.tenant, one.id), &secret.joined())
            });
            unsealed_urls::set_sealed(&mut tx, &one, sealed.as_ref()).await?;
        }
        tx.commit().await?;
    }
}

/// A secret that is replaced meanwhile is skipped or already new.
async fn reseal_connections(
    pool: &PgPool,
    keys: &KeyRing,
    done: &mut Resealed,
) -> Result<(), sqlx::Error> {
    let mut after = None;
    loop {
        let mut tx = pool.begin().await?;
        let old = connections::lock_sealed_by_others(&mut tx, keys.active(), after, BATCH).await?;
        let Some((tenant, id, _)) = old.last() else {
            return Ok(());
        };
        after = Some((*tenant, *id));
        for (tenant, id, sealed) in old {
            let row = connect::place(tenant, id);
            let opened = keys.open(row, &sealed);
            if let Some(secret) = done.note(SecretOwner::Connection(id), opened) {
                connections::set_sealed(&mut tx, tenant, id, &keys.seal(row, &secret)).await?;
            }
        }
        tx.commit().await?;
    }
}

async fn reseal_second_factors(
    pool: &PgPool,
    keys: &KeyRing,
    done: &mut Resealed,
) -> Result<(), sqlx::Error> {
    let mut after = None;
    loop {
        let mut tx = pool.begin().await?;
        let old =
            second_factors::lock_sealed_by_others(&mut tx, keys.active(), after, BATCH).await?;
        let Some((tenant, user, _)) = old.last() else {
            return Ok(());
        };
        after = Some((*tenant, *user));
        for (tenant, user, sealed) in old {
            let row = second_factor::place(tenant, user);
            let opened = keys.open(row, &sealed);
            if let Some(secret) = done.note(SecretOwner::SecondFactor(user), opened) {
                second_factors::set_sealed(&mut tx, tenant, user, &keys.seal(row, &secret)).await?;
            }
        }
        tx.commit().await?;
    }
}
