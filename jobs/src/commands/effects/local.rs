//! Effects on our own tables: the change and its ledger row commit together, so they are never in flight.

use super::{LedgerError, Reserved, held, holder, intend, record};
use crate::{
    domain::{
        AuditAction, EffectId,
        effect::{EffectEnd, EffectStatus, EffectStep, NewEffect},
    },
    store::effects::{self, StoredEffect},
};
use async_trait::async_trait;
use base::TenantId;
use queue::Job;
use serde_json::Value;
use sqlx::{Acquire, PgConnection, PgPool};

/// The result of an effect on our own tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// What the effect created or changed, for the user.
    pub receipt: Value,
    /// The state before, if undoing needs it.
    pub before_image: Option<Value>,
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It cannot be done in the present state. The message is for the user.
    #[error("{code}")]
    Refused { code: &'static str, message: String },
    #[error("could not write the effect")]
    Database(#[from] sqlx::Error),
}

impl Refusal {
    pub fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused {
            code,
            message: message.into(),
        }
    }
}

/// A change of our own tables, in the transaction it is given.
#[async_trait]
pub trait Change: Send + Sync {
    /// # Errors
    /// [`Refusal::Refused`] if it cannot be done; the transaction is rolled back then.
    async fn apply(&self, conn: &mut PgConnection) -> Result<Done, Refusal>;
}

/// How it ended.
#[derive(Debug)]
pub enum Performed {
    Done(EffectId, Done),
    Refused {
        id: EffectId,
        code: &'static str,
        message: String,
    },
    /// The same effect happened before.
    Duplicate(Box<StoredEffect>),
}

/// Performs the change, unless it was performed before.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the job's lease is lost; then nothing was changed.
pub async fn perform(
    pool: &PgPool,
    job: &Job,
    effect: &NewEffect,
    change: &dyn Change,
) -> Result<Performed, LedgerError> {
    let mut tx = held(pool, job).await?;
    let id = match intend(&mut tx, job, effect).await? {
        Reserved::Intended(id) => id,
        Reserved::Duplicate(found) => return Ok(Performed::Duplicate(found)),
    };
    let in_flight = EffectStatus::Intent.after(EffectStep::Begin)?;
    let step = (EffectStatus::Intent, in_flight);
    effects::take(&mut tx, holder(job), id, step).await?;
    let mut inner = tx.begin().await?;
    let (performed, end) = match change.apply(&mut inner).await {
        Ok(done) => {
            inner.commit().await?;
            let end = EffectEnd::Succeeded {
                receipt: done.receipt.clone(),
                before_image: done.before_image.clone(),
            };
            (Performed::Done(id, done), end)
        }
        Err(Refusal::Refused { code, message }) => {
            inner.rollback().await?;
            let refused = Performed::Refused { id, code, message };
            (refused, EffectEnd::FailedPermanent { code })
        }
        Err(Refusal::Database(error)) => return Err(error.into()),
    };
    let to = in_flight.after(end.step())?;
    effects::end(&mut tx, holder(job), id, (to, &end)).await?;
    record(&mut tx, job, AuditAction::EffectEnded, id, to, end.code()).await?;
    tx.commit().await?;
    Ok(performed)
}

/// Performs the change in a transaction that is rolled back, and returns what would happen. Reserves no effect.
///
/// # Errors
/// As the change itself.
pub async fn rehearse(pool: &PgPool, change: &dyn Change) -> Result<Done, Refusal> {
    let mut tx = pool.begin().await?;
    let done = change.apply(&mut tx).await;
    tx.rollback().await?;
    done
}

/// Undoes a change, in one transaction with the ledger.
#[async_trait]
pub trait Reversal: Send + Sync {
    /// # Errors
    /// [`Refusal::Refused`] if the state has changed since.
    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal>;
}

/// Undoes an effect that succeeded. `None` if it was undone before.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the job's lease is lost; then nothing was changed.
pub async fn undo(
    pool: &PgPool,
    job: &Job,
    id: EffectId,
    reversal: &dyn Reversal,
) -> Result<Option<Result<(), (&'static str, String)>>, LedgerError> {
    let mut tx = held(pool, job).await?;
    let Some(found) = effects::lock(&mut tx, job.lease.tenant, id).await? else {
        return Ok(None);
    };
    if found.status == EffectStatus::Compensated {
        return Ok(None);
    }
    let compensating = found.status.after(EffectStep::Compensate)?;
    let step = (found.status, compensating);
    effects::take(&mut tx, holder(job), id, step).await?;
    let mut inner = tx.begin().await?;
    let (answer, to, code) = match reversal.undo(&mut inner, job.lease.tenant, &found).await {
        Ok(()) => {
            inner.commit().await?;
            (Ok(()), EffectStep::EndCompensation, None)
        }
        Err(Refusal::Refused { code, message }) => {
            inner.rollback().await?;
            (
                Err((code, message)),
                EffectStep::FailCompensation,
                Some(code),
            )
        }
        Err(Refusal::Database(error)) => return Err(error.into()),
    };
    let to = compensating.after(to)?;
    effects::take(&mut tx, holder(job), id, (compensating, to)).await?;
    record(&mut tx, job, AuditAction::EffectUndone, id, to, code).await?;
    tx.commit().await?;
    Ok(Some(answer))
}
