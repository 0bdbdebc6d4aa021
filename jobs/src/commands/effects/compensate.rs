//! Undoing an external effect: [`begin_compensation`] commits the intent, [`end_compensation`] the outcome. After a
//! crash the job's next attempt resumes: undoing twice undoes once.

use super::{LedgerError, held, holder, record};
use crate::{
    domain::{
        AuditAction, EffectId,
        effect::{EffectStatus, EffectStep},
    },
    store::effects::{self, StoredEffect},
};
use queue::Job;
use sqlx::PgPool;

/// Commits the intent to undo the effect. `None` if it was undone before.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the job's lease is lost; [`LedgerError::Refused`] if there is nothing to undo.
pub async fn begin_compensation(
    pool: &PgPool,
    job: &Job,
    id: EffectId,
) -> Result<Option<StoredEffect>, LedgerError> {
    let mut tx = held(pool, job).await?;
    let Some(found) = effects::lock(&mut tx, job.lease.tenant, id).await? else {
        return Ok(None);
    };
    match found.status {
        EffectStatus::Compensated => return Ok(None),
        EffectStatus::Compensating if found.job == job.lease.job => {
            let same = (found.status, found.status);
            effects::take(&mut tx, holder(job), id, same).await?;
        }
        status => {
            let to = status.after(EffectStep::Compensate)?;
            effects::take(&mut tx, holder(job), id, (status, to)).await?;
            record(&mut tx, job, AuditAction::EffectUndone, id, to, None).await?;
        }
    }
    tx.commit().await?;
    Ok(Some(found))
}

/// Commits the outcome: `refused` is the code of a failure.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the lease is lost, or the effect is no longer being undone.
pub async fn end_compensation(
    pool: &PgPool,
    job: &Job,
    id: EffectId,
    refused: Option<&'static str>,
) -> Result<(), LedgerError> {
    let step = match refused {
        None => EffectStep::EndCompensation,
        Some(_) => EffectStep::FailCompensation,
    };
    let from = EffectStatus::Compensating;
    let to = from.after(step)?;
    let mut tx = held(pool, job).await?;
    if !effects::take(&mut tx, holder(job), id, (from, to)).await? {
        return Err(LedgerError::NotHeld);
    }
    record(&mut tx, job, AuditAction::EffectUndone, id, to, refused).await?;
    tx.commit().await?;
    Ok(())
}
