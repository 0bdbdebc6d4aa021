//! Dead letters: lists a tenant's discarded jobs, and retries discarded and cancelled ones, singly or by a filter.
//!
//! A retried job keeps its id and its attempt number, so a former worker still cannot write.

/// Queries the discarded jobs that a filter selects: `$query!(Row)`, the statement before and after the conditions of the
/// filter, the tenant, the filter and the values of what comes after. The tenant is `$1`, the filter `$2` to `$8`.
macro_rules! filtered {
    ($query:ident!($($row:path)?), $before:literal, $after:literal, $tenant:expr, $filter:expr, $($value:expr),+ $(,)?) => {
        sqlx::$query!(
            $($row,)?
            $before + r#"
             and ($2::text is null or kind = $2) and ($3::text is null or queue = $3)
             and ($4::text is null or error_code = $4)
             and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
             and ($7::timestamptz is null or finished_at >= $7) and ($8::timestamptz is null or finished_at < $8)"# + $after,
            $tenant,
            $filter.kind,
            $filter.queue,
            $filter.error_code,
            $filter.created_from,
            $filter.created_before,
            $filter.finished_from,
            $filter.finished_before,
            $($value),+
        )
    };
}

pub mod all_tenants;

use super::Row;
use crate::{JobState, JobView};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A job that was returned to the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetriedJob {
    pub tenant: TenantId,
    pub job: JobId,
    pub queue: String,
    /// The request that enqueued the job.
    pub request_id: Option<String>,
}

/// Selects discarded jobs; the default is all of them.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    pub kind: Option<String>,
    pub queue: Option<String>,
    pub error_code: Option<String>,
    pub created_from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub created_before: Option<DateTime<Utc>>,
    /// The time of the discard.
    pub finished_from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub finished_before: Option<DateTime<Utc>>,
}

/// [`count`] stops here.
pub const MAX_COUNTED: i64 = 10_000;

/// Lists up to `limit` discarded jobs older than `before`, newest first.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    filter: &DeadLetterFilter,
    before: Option<JobId>,
    limit: i64,
) -> Result<Vec<JobView>, sqlx::Error> {
    // The state is a literal: with a parameter, a generic plan could not use the index on discarded jobs.
    let rows = filtered!(
        query_as!(Row),
        r#"select id as "id: JobId", kind, queue, state as "state: JobState", errors as attempts, max_attempts, priority, run_at, created_at, started_at,
                  finished_at as "finished_at?", null::jsonb as output, error_code, error_message, null::real as progress,
                  null::text as progress_note, request_id, client_request_id,
                  parent_id as "parent_id: JobId", 0 as "children!", null::bigint as ended, null::bigint as failed
           from finished_jobs
           where tenant_id = $1 and state = 'discarded'"#,
        r#"
             and id < coalesce($9, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
           order by id desc
           limit $10"#,
        tenant.0, filter,
        before.map(|id| id.0),
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.view(tenant)).collect())
}

/// Returns these discarded or cancelled jobs to the queue, with their errors and crashes reset. Skips other ids.
pub async fn retry(
    conn: &mut PgConnection,
    jobs: &[(TenantId, JobId)],
) -> Result<Vec<RetriedJob>, sqlx::Error> {
    // The event takes the number after that of the job's end (see view::events), so that no number is used twice.
    // The job loses its dedupe key: a newer job may hold it by now.
    sqlx::query_as!(
        RetriedJob,
        r#"with moved as (
               delete from finished_jobs using unnest($1::uuid[], $2::uuid[]) as named (tenant_id, id)
               where finished_jobs.tenant_id = named.tenant_id and finished_jobs.id = named.id
                 and state in ('discarded', 'cancelled')
               returning finished_jobs.*
           ), returned as (
               insert into jobs (tenant_id, id, created_at, priority, max_attempts, children, kind, queue, args,
                   request_id, client_request_id, traceparent, parent_id, last_error_code, last_error_message, run_at, attempt, state)
               select tenant_id, id, created_at, priority, max_attempts, children, kind, queue, args,
                   request_id, client_request_id, traceparent, parent_id, error_code, error_message, now(), attempt, 'available'
               from moved
           ), recorded as (
               insert into job_events (tenant_id, job_id, attempt, seq, kind)
               select tenant_id, id, attempt, 2 + coalesce(
                          (select max(seq) from job_events event
                           where event.tenant_id = moved.tenant_id and event.job_id = moved.id
                             and event.attempt = moved.attempt), 0), 'retried'
               from moved
           )
           select tenant_id as "tenant: TenantId", id as "job: JobId", queue, request_id from moved order by id"#,
        &jobs.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>(),
        &jobs.iter().map(|(_, job)| job.0).collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await
}

/// Locks up to `limit` discarded jobs until the transaction ends, oldest first. Skips those that are being retried already.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    filter: &DeadLetterFilter,
    limit: i64,
) -> Result<Vec<(TenantId, JobId)>, sqlx::Error> {
    let found = filtered!(
        query_scalar!(),
        r#"select id as "id: JobId" from finished_jobs
           where tenant_id = $1 and state = 'discarded'"#,
        r#"
           order by id
           limit $9
           for update skip locked"#,
        tenant.0,
        filter,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|job: JobId| (tenant, job)).collect())
}

/// Counts the discarded jobs, up to [`MAX_COUNTED`].
pub async fn count(
    conn: &mut PgConnection,
    tenant: TenantId,
    filter: &DeadLetterFilter,
) -> Result<i64, sqlx::Error> {
    filtered!(
        query_scalar!(),
        r#"select count(*) as "count!" from (
               select from finished_jobs
               where tenant_id = $1 and state = 'discarded'"#,
        r#"
               limit $9
           ) found"#,
        tenant.0,
        filter,
        MAX_COUNTED,
    )
    .fetch_one(conn)
    .await
}
