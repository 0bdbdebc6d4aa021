//! Retention: deletes old finished jobs in small batches.

use crate::interval::interval;
use sqlx::PgPool;
use std::time::Duration;

/// Deletes up to `limit` finished jobs older than `keep`, with their attempts and events. Their external ids stay in use.
///
/// # Errors
/// If the database fails.
pub async fn prune_finished(pool: &PgPool, keep: Duration, limit: u32) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "with aged as (
             select tenant_id, id from finished_jobs where finished_at < now() - $1::interval
             order by finished_at, id limit $2 for update skip locked
         ), attempts as (
             delete from job_attempts using aged where job_id = aged.id
         ), events as (
             delete from job_events using aged where job_events.tenant_id = aged.tenant_id and job_id = aged.id
         )
         delete from finished_jobs using aged
         where finished_jobs.tenant_id = aged.tenant_id and finished_jobs.id = aged.id",
        interval(keep),
        i64::from(limit),
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
