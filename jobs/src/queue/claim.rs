//! Taking work: one short statement that leaves nothing locked.

use super::{Job, Lease};
use crate::domain::{JobId, TenantId, WorkerId};
use sqlx::{PgPool, postgres::types::PgInterval};
use std::time::Duration;

/// Who claims, what, and for how long it is theirs without a renewal.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    pub worker: WorkerId,
    pub queue: &'a str,
    /// Kinds this worker has a handler for: during a deploy the others are left for newer workers.
    pub kinds: &'a [String],
    pub lease: Duration,
    pub limit: u32,
}

/// Claims up to `limit` jobs, the most urgent first, then the longest due.
///
/// # Errors
/// If the database cannot be asked. Claims whose reply was lost come back when their lease expires.
pub async fn claim(pool: &PgPool, claim: &Claim<'_>) -> Result<Vec<Job>, sqlx::Error> {
    let mut rows = sqlx::query!(
        r#"with due as (
               select id from jobs
               where queue = $1 and state = 'available' and run_at <= now() and kind = any($2)
                 and not exists (select from queue_pauses where queue_pauses.queue = $1)
               order by priority, run_at, id
               limit $3
               for update skip locked
           )
           update jobs
           set state = 'running', attempt = attempt + 1, worker_id = $4, lease_until = now() + $5, started_at = now()
           from due
           where jobs.id = due.id
           returning jobs.id as "id: JobId", tenant_id as "tenant_id: TenantId", kind, queue, priority, args, attempt,
                     errors, crashes, max_attempts, run_at, created_at, started_at as "started_at!", request_id, traceparent"#,
        claim.queue,
        claim.kinds,
        i64::from(claim.limit),
        claim.worker.0,
        interval(claim.lease),
    )
    .fetch_all(pool)
    .await?;
    // An update returns rows in no order of its own.
    rows.sort_unstable_by_key(|row| (row.priority, row.run_at, row.id));
    Ok(rows
        .into_iter()
        .map(|row| Job {
            lease: Lease {
                job: row.id,
                attempt: row.attempt,
                worker: claim.worker,
            },
            tenant: row.tenant_id,
            kind: row.kind,
            queue: row.queue,
            args: row.args,
            errors: row.errors,
            crashes: row.crashes,
            max_attempts: row.max_attempts,
            run_at: row.run_at,
            created_at: row.created_at,
            started_at: row.started_at,
            request_id: row.request_id,
            traceparent: row.traceparent,
        })
        .collect())
}

/// Makes jobs available whose time has come, scheduled or waiting for their next attempt; the earliest first.
///
/// Returns the queue of each.
///
/// # Errors
/// If the database cannot be asked.
pub async fn promote_due(pool: &PgPool, limit: u32) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "with due as (
             select id from jobs
             where state in ('scheduled', 'retryable') and run_at <= now()
             order by run_at, id
             limit $1
             for update skip locked
         )
         update jobs set state = 'available' from due where jobs.id = due.id
         returning queue",
        i64::from(limit),
    )
    .fetch_all(pool)
    .await
}

/// Postgres counts microseconds; a lease of longer than a year is refused by the configuration.
pub(super) fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval {
        months: 0,
        days: 0,
        microseconds,
    }
}
