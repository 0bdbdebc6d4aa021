//! Sealing the stored secrets anew: [`reseal`].
//!
//! Works in small batches beside the running service and can be repeated: what is sealed with the first key is left alone. Each
//! batch commits together with its audit entry, so that a run which is killed has recorded what it did.

use super::BATCH;
use crate::{
    commands::{connections::connect, operators::Operator, users::second_factor},
    domain::{
        AuditAction, ConnectionId, Detail, NewAuditEntry, ResourceKind, UserId,
        connection::{Secret, WebhookSecret},
    },
    secrets::{KeyRing, Unsealable},
    store::{
        audit,
        connections::{self, unsealed_urls},
        llm_captures, second_factors,
    },
};
use sqlx::{PgConnection, PgPool};
use std::fmt;
use uuid::Uuid;

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
    /// What a model was asked and answered, by the call.
    Capture(Uuid),
}

impl fmt::Display for SecretOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(id) => write!(f, "connection {id}"),
            Self::SecondFactor(user) => write!(f, "second factor of user {user}"),
            Self::Capture(call) => write!(f, "exchange of call {call}"),
        }
    }
}

/// The run broke off; what it committed stays, and is recorded.
#[derive(Debug, thiserror::Error)]
#[error("{sealed} secret(s) were sealed anew, then the database refused")]
pub struct ResealError {
    pub sealed: u64,
    pub source: sqlx::Error,
}

/// Seals every secret that an older key seals with the active one, and the URLs of webhooks that are not sealed. One that does
/// not open is left and reported: it must not keep the others under their former key.
///
/// # Errors
/// If the database refuses; batches that were committed stay. An entry of the outcome `failed` then says how many secrets they
/// were, if the database takes it.
pub async fn reseal(
    pool: &PgPool,
    keys: &KeyRing,
    operator: Operator<'_>,
) -> Result<Resealed, ResealError> {
    let mut run = Run {
        pool,
        keys,
        operator,
        done: Resealed::default(),
    };
    match run.finish().await {
        Ok(()) => Ok(run.done),
        Err(source) => {
            let sealed = run.done.sealed;
            let failed = run.entry(sealed).map(|entry| entry.failed("interrupted"));
            if let Err(error) = run.record_alone(failed).await {
                tracing::error!(%error, sealed, "could not record that the secrets were sealed anew only in part");
            }
            Err(ResealError { sealed, source })
        }
    }
}

/// One run.
struct Run<'a> {
    pool: &'a PgPool,
    keys: &'a KeyRing,
    operator: Operator<'a>,
    /// Only what was committed is counted.
    done: Resealed,
}

impl Run<'_> {
    async fn finish(&mut self) -> Result<(), sqlx::Error> {
        self.connections().await?;
        self.second_factors().await?;
        self.captures().await?;
        self.urls().await?;
        if self.done.sealed == 0 {
            self.record_alone(self.entry(0)).await?;
        }
        Ok(())
    }

    fn entry(&self, secrets: u64) -> Option<NewAuditEntry> {
        let (action, kind) = (AuditAction::SecretsResealed, ResourceKind::CredentialKey);
        let secrets = i64::try_from(secrets).unwrap_or(i64::MAX);
        let entry = self.operator.audit(action, kind, self.keys.active())?;
        Some(entry.with_detail(Detail::new().count("secrets", secrets)))
    }

    async fn record_alone(&self, entry: Option<NewAuditEntry>) -> Result<(), sqlx::Error> {
        audit::insert(&mut *self.pool.acquire().await?, entry.as_slice()).await
    }

    /// Records the batch of this transaction.
    async fn record(&self, conn: &mut PgConnection, sealed: u64) -> Result<(), sqlx::Error> {
        let entry = self.entry(sealed).filter(|_| sealed > 0);
        audit::insert(conn, entry.as_slice()).await
    }

    /// Notes a secret that does not open.
    fn opened<T>(&mut self, row: SecretOwner, opened: Result<T, Unsealable>) -> Option<T> {
        let unopened = &mut self.done.unopened;
        opened
            .inspect_err(|source| {
                // The secret of a webhook is opened once for its key and once for its URL.
                if unopened.iter().all(|known| known.row != row) {
                    let source = source.clone();
                    unopened.push(Unopened { row, source });
                }
            })
            .ok()
    }

    /// A secret that is replaced meanwhile is skipped or already new.
    async fn connections(&mut self) -> Result<(), sqlx::Error> {
        let mut after = None;
        loop {
            let mut tx = self.pool.begin().await?;
            let old = connections::lock_sealed_by_others(&mut tx, self.keys.active(), after, BATCH)
                .await?;
            let Some((tenant, id, _)) = old.last() else {
                return Ok(());
            };
            after = Some((*tenant, *id));
            let mut sealed = 0;
            for (tenant, id, secret) in old {
                let row = connect::place(tenant, id);
                let opened = self.keys.open(row, &secret);
                if let Some(secret) = self.opened(SecretOwner::Connection(id), opened) {
                    let anew = self.keys.seal(row, &secret);
                    connections::set_sealed(&mut tx, tenant, id, &anew).await?;
                    sealed += 1;
                }
            }
            self.record(&mut tx, sealed).await?;
            tx.commit().await?;
            self.done.sealed += sealed;
        }
    }

    async fn second_factors(&mut self) -> Result<(), sqlx::Error> {
        let mut after = None;
        loop {
            let mut tx = self.pool.begin().await?;
            let old =
                second_factors::lock_sealed_by_others(&mut tx, self.keys.active(), after, BATCH)
                    .await?;
            let Some((tenant, user, _)) = old.last() else {
                return Ok(());
            };
            after = Some((*tenant, *user));
            let mut sealed = 0;
            for (tenant, user, secret) in old {
                let row = second_factor::place(tenant, user);
                let opened = self.keys.open(row, &secret);
                if let Some(secret) = self.opened(SecretOwner::SecondFactor(user), opened) {
                    let anew = self.keys.seal(row, &secret);
                    second_factors::set_sealed(&mut tx, tenant, user, &anew).await?;
                    sealed += 1;
                }
            }
            self.record(&mut tx, sealed).await?;
            tx.commit().await?;
            self.done.sealed += sealed;
        }
    }

    async fn captures(&mut self) -> Result<(), sqlx::Error> {
        let mut after = None;
        loop {
            let mut tx = self.pool.begin().await?;
            let old =
                llm_captures::lock_sealed_by_others(&mut tx, self.keys.active(), after, BATCH)
                    .await?;
            let Some((tenant, call, _)) = old.last() else {
                return Ok(());
            };
            after = Some((*tenant, *call));
            let mut sealed = 0;
            for (tenant, call, exchange) in old {
                let row = llm_captures::place(tenant, call);
                let opened = self.keys.open(row, &exchange);
                if let Some(exchange) = self.opened(SecretOwner::Capture(call), opened) {
                    let anew = self.keys.seal(row, &exchange);
                    llm_captures::set_sealed(&mut tx, tenant, call, &anew).await?;
                    sealed += 1;
                }
            }
            self.record(&mut tx, sealed).await?;
            tx.commit().await?;
            self.done.sealed += sealed;
        }
    }

    /// Seals the URLs of webhooks that were connected before this was done at once.
    async fn urls(&mut self) -> Result<(), sqlx::Error> {
        let mut after = None;
        loop {
            let mut tx = self.pool.begin().await?;
            let found = unsealed_urls::lock(&mut tx, after, BATCH).await?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = Some((last.tenant, last.id));
            let mut sealed = 0;
            for one in found {
                let (tenant, id) = (one.tenant, one.id);
                let known = match one.secret.is_empty() {
                    true => Ok(None),
                    false => {
                        connect::open_webhook_secret(self.keys, tenant, id, &one.secret).map(Some)
                    }
                };
                let Some(known) = self.opened(SecretOwner::Connection(id), known) else {
                    continue;
                };
                let anew = known.map(|known| {
                    let secret = Secret::Webhook(WebhookSecret {
                        signing: known.signing,
                        url: Some(one.url.clone()),
                    });
                    self.keys.seal(connect::place(tenant, id), &secret.joined())
                });
                unsealed_urls::set_sealed(&mut tx, &one, anew.as_ref()).await?;
                sealed += 1;
            }
            self.record(&mut tx, sealed).await?;
            tx.commit().await?;
            self.done.sealed += sealed;
        }
    }
}
