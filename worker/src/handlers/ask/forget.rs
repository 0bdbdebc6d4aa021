//! Forgets the stored answers of a job, so that its next attempt asks again: [`forget_answers`].

use super::{AskError, ModelAccess};
use jobs::store::llm_checkpoints;
use queue::{lease, runtime::handler::JobContext};

/// Deletes the answers that this job has paid for. For a job that is given up because of them: a person who retries it wants
/// others, and would get the same for three days.
///
/// # Errors
/// If the lease was lost or the database fails.
pub(in crate::handlers) async fn forget_answers(
    ctx: &JobContext,
    access: &ModelAccess,
) -> Result<(), AskError> {
    // A replay keeps what it reads.
    if access.recorded.is_some() {
        return Ok(());
    }
    let job = &ctx.job;
    let mut tx = ctx.pool.begin().await?;
    if !lease::lock_if_held(&mut tx, job.lease).await? {
        return Err(AskError::LeaseLost);
    }
    llm_checkpoints::delete_of_job(&mut tx, job.lease.tenant, job.lease.job).await?;
    tx.commit().await?;
    Ok(())
}
