//! Settling many attempts at once that succeeded and wrote nothing else: one transaction, one flush of the log.

use crate::{
    domain::JobId,
    queue::{Job, settle},
    store::audit::{self, SucceededAttempt},
    telemetry::trace_id,
};
use serde_json::Value;
use sqlx::PgPool;
use std::collections::HashSet;

/// Moves the jobs to the finished ones with their outputs and writes an audit entry for each, all or none.
///
/// All jobs must be held by one worker. Returns those that were settled now; the others were not this worker's any more,
/// or were settled by a former call whose reply was lost.
///
/// # Errors
/// If the database cannot be asked or refuses an output. A lost reply may have been a commit: call again.
pub async fn settle_succeeded(
    pool: &PgPool,
    succeeded: &[(&Job, &Value)],
) -> Result<HashSet<JobId>, sqlx::Error> {
    let Some((first, _)) = succeeded.first() else {
        return Ok(HashSet::new());
    };
    let leases: Vec<_> = succeeded
        .iter()
        .map(|(job, output)| (job.lease, *output))
        .collect();
    let mut transaction = pool.begin().await?;
    let settled = settle::settle_succeeded(&mut transaction, &leases).await?;
    let attempts: Vec<_> = succeeded
        .iter()
        .filter(|(job, _)| settled.contains(&job.lease.job))
        .map(|(job, _)| SucceededAttempt {
            tenant: job.tenant,
            job: job.lease.job,
            attempt: job.lease.attempt,
            request_id: job.request_id.as_deref(),
            trace_id: job.traceparent.as_deref().and_then(trace_id),
        })
        .collect();
    audit::insert_succeeded(&mut transaction, first.lease.worker, &attempts).await?;
    transaction.commit().await?;
    Ok(settled)
}
