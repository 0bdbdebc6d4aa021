//! Cancels jobs: a waiting job at once, a running job through its worker.
//!
//! The request is stored in the job's row, so that it survives a lost notification and a dead worker: the next worker that
//! claims the job finds it. Notify workers after the commit ([`crate::signals::notifier::Notifier::cancel_requested`]).

use crate::{JobState, finished::insert_finished};
use base::{JobId, TenantId, WorkerId};
use sqlx::{PgConnection, PgExecutor};

/// The error code of a cancelled job.
pub const CANCELLED: &str = "cancelled";

/// The result of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The job was waiting and is cancelled.
    Now,
    /// The job runs, and its cancellation is requested.
    Requested,
    /// The job finished before, in this state.
    AlreadyEnded(JobState),
    NotFound,
}

/// Cancels a waiting job of the tenant, or requests the cancellation of a running one. Idempotent.
///
/// # Errors
/// If the database fails, or holds a state that this version does not know.
pub async fn cancel(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Cancelled, sqlx::Error> {
    // The row lock decides between this and a concurrent claim; it is held to the end of the caller's transaction.
    let running = sqlx::query_scalar!(
        r#"select state = 'running' as "running!" from jobs where tenant_id = $1 and id = $2 for update"#,
        tenant.0,
        job.0,
    )
    .fetch_optional(&mut *conn)
    .await?;
    match running {
        Some(true) => {
            request(conn, tenant, job).await?;
            Ok(Cancelled::Requested)
        }
        Some(false) => {
            finish(conn, tenant, job).await?;
            Ok(Cancelled::Now)
        }
        None => ended(conn, tenant, job).await,
    }
}

/// Requests the cancellation of a running job; only the first request is an event. The caller holds the row lock.
async fn request(conn: &mut PgConnection, tenant: TenantId, job: JobId) -> Result<(), sqlx::Error> {
    let marked = sqlx::query!(
        "update jobs set cancel_requested_at = now()
         where tenant_id = $1 and id = $2 and cancel_requested_at is null",
        tenant.0,
        job.0,
    )
    .execute(&mut *conn)
    .await?;
    if marked.rows_affected() == 1 {
        record_requests(conn, &[(tenant, job)]).await?;
    }
    Ok(())
}

/// Records the requests in the jobs' event logs. The caller holds the row locks, so no report takes the same number.
pub(crate) async fn record_requests(
    conn: &mut PgConnection,
    jobs: &[(TenantId, JobId)],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into job_events (tenant_id, job_id, attempt, seq, kind)
         select jobs.tenant_id, jobs.id, jobs.attempt, 1 + coalesce(
                    (select max(seq) from job_events event
                     where event.tenant_id = jobs.tenant_id and event.job_id = jobs.id
                       and event.attempt = jobs.attempt), 0),
                'cancel_requested'
         from jobs
         join unnest($1::uuid[], $2::uuid[]) as requested (tenant_id, id) using (tenant_id, id)",
        &jobs.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>(),
        &jobs.iter().map(|(_, job)| job.0).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn finish(conn: &mut PgConnection, tenant: TenantId, job: JobId) -> Result<(), sqlx::Error> {
    insert_finished!(
        query;
        "with removed as (
             delete from jobs where tenant_id = $1 and id = $2 returning *
         )",
        "'cancelled', errors, crashes, null, $3, 'The job was cancelled while it waited.'",
        "from removed",
        tenant.0,
        job.0,
        CANCELLED,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels up to `limit` waiting jobs of the tenant and returns them. Locked ones are skipped.
pub async fn cancel_waiting(
    conn: &mut PgConnection,
    tenant: TenantId,
    limit: i64,
) -> Result<Vec<JobId>, sqlx::Error> {
    insert_finished!(
        query_scalar;
        "with waiting as (
             select tenant_id, id from jobs
             where tenant_id = $1 and state in ('available', 'scheduled', 'retryable')
             order by id
             limit $2
             for update skip locked
         ), removed as (
             delete from jobs using waiting
             where jobs.tenant_id = waiting.tenant_id and jobs.id = waiting.id
             returning jobs.*
         )",
        "'cancelled', errors, crashes, null, $3, 'The job was cancelled while it waited.'",
        r#"from removed returning id as "id: JobId""#,
        tenant.0,
        limit,
        CANCELLED,
    )
    .fetch_all(conn)
    .await
}

async fn ended(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Cancelled, sqlx::Error> {
    let state = sqlx::query_scalar!(
        r#"select state as "state: JobState" from finished_jobs where tenant_id = $1 and id = $2"#,
        tenant.0,
        job.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(state.map_or(Cancelled::NotFound, Cancelled::AlreadyEnded))
}

/// Lists the running jobs of this worker whose cancellation was requested.
pub async fn requested<'c>(
    executor: impl PgExecutor<'c>,
    worker: WorkerId,
) -> Result<Vec<JobId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: JobId" from jobs where worker_id = $1 and cancel_requested_at is not null"#,
        worker.0,
    )
    .fetch_all(executor)
    .await
}
