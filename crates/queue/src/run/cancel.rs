//! Stopping a job that nobody wants any more: a waiting one at once, a running one by asking its worker.
//!
//! The request is written into the job's row, so that it outlives a lost notification and a dead worker: whoever holds the
//! job next finds it there. Notify workers after the commit ([`crate::signals::notifier::Notifier::cancel_requested`]).

use crate::JobState;
use base::{JobId, TenantId, WorkerId};
use sqlx::{PgConnection, PgExecutor};

/// The code of a job that was cancelled.
pub const CANCELLED: &str = "cancelled";

/// What became of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It was waiting and is cancelled.
    Now,
    /// It runs: its worker will be told.
    Requested,
    /// It had ended before, in this state.
    AlreadyEnded(JobState),
    NotFound,
}

/// Cancels the tenant's job, or asks for it. To ask twice changes nothing.
///
/// # Errors
/// If the database cannot be asked, or holds a state this version does not know.
pub async fn cancel(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Cancelled, sqlx::Error> {
    // The lock decides between this and a claim that is under way; it is held to the end of the caller's transaction.
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

/// Marks a running job; only the first wish is an event. The caller holds the row.
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
        tell(conn, &[(tenant, job)]).await?;
    }
    Ok(())
}

/// Notes in the jobs' event logs that they are to stop. The caller holds their rows, so no report takes the same number.
pub(crate) async fn tell(
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
         join unnest($1::uuid[], $2::uuid[]) as told (tenant_id, id) using (tenant_id, id)",
        &jobs.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>(),
        &jobs.iter().map(|(_, job)| job.0).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn finish(conn: &mut PgConnection, tenant: TenantId, job: JobId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with removed as (
             delete from jobs where tenant_id = $1 and id = $2 returning *
         )
         insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
             args, worker_id, run_at, started_at, created_at, request_id, traceparent, dedupe_key, parent_id, children,
             error_code, error_message)
         select id, tenant_id, kind, queue, 'cancelled', priority, attempt, errors, crashes, max_attempts,
             args, worker_id, run_at, started_at, created_at, request_id, traceparent,
             dedupe_key, parent_id, children, $3, 'The job was cancelled while it waited.'
         from removed",
        tenant.0,
        job.0,
        CANCELLED,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn ended(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Cancelled, sqlx::Error> {
    let state = sqlx::query_scalar!(
        "select state from finished_jobs where tenant_id = $1 and id = $2",
        tenant.0,
        job.0,
    )
    .fetch_optional(conn)
    .await?;
    let Some(state) = state else {
        return Ok(Cancelled::NotFound);
    };
    JobState::parse(&state)
        .map(Cancelled::AlreadyEnded)
        .ok_or_else(|| sqlx::Error::Decode(format!("unknown job state {state}").into()))
}

/// The jobs that this worker runs and somebody wants stopped.
///
/// # Errors
/// If the database cannot be asked.
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
