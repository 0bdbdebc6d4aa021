//! Taking back what left the house: [`begin_compensation`] commits that it is about to be, [`end_compensation`] what came
//! of it. Whoever dies in between leaves a row that the job's next attempt goes on with: taking back twice is once.

use super::{LedgerError, held, holder, record};
use crate::{
    domain::{
        Action, EffectId,
        effect::{EffectStatus, EffectStep},
    },
    store::effects::{self, StoredEffect},
};
use queue::Job;
use sqlx::PgPool;

/// Commits that it is about to be taken back. `None` if it was before.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the job's lease is lost; [`LedgerError::Refused`] if it is not there to be taken back.
pub async fn begin_compensation(
    pool: &PgPool,
    job: &Job,
    id: EffectId,
) -> Result<Option<StoredEffect>, LedgerError> {
    let mut tx = held(pool, job).await?;
    let Some(found) = effects::lock(&mut tx, job.tenant, id).await? else {
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
            record(&mut tx, job, Action::EFFECT_TAKEN_BACK, id, to, None).await?;
        }
    }
    tx.commit().await?;
    Ok(Some(found))
}

/// Commits what came of it: `refused` is the code of what was in the way.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the lease is lost, or it is not being taken back any more.
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
    record(&mut tx, job, Action::EFFECT_TAKEN_BACK, id, to, refused).await?;
    tx.commit().await?;
    Ok(())
}
