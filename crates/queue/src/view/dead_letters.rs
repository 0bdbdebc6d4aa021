//! Jobs that were given up: seen by their tenant, and with those that were cancelled put back in line by a person, one or
//! by a filter.
//!
//! A job that comes back keeps its id and its count of claims, so the fence of a former worker stays shut.

pub mod all_tenants;

use super::Row;
use crate::JobView;
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A job that waits again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requeued {
    pub tenant: TenantId,
    pub job: JobId,
    pub queue: String,
    /// The request that once asked for the job.
    pub request_id: Option<String>,
}

/// Which discarded jobs; the default is all of the tenant's.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    pub kind: Option<String>,
    pub queue: Option<String>,
    pub error_code: Option<String>,
    pub created_from: Option<DateTime<Utc>>,
    /// Not including this moment.
    pub created_before: Option<DateTime<Utc>>,
    /// By when they were given up.
    pub finished_from: Option<DateTime<Utc>>,
    /// Not including this moment.
    pub finished_before: Option<DateTime<Utc>>,
}

/// Counts of what is left stop here.
pub const MOST_COUNTED: i64 = 10_000;

/// Up to `limit` discarded jobs that are older than `before`, the youngest first.
///
/// # Errors
/// If the database cannot be asked.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    filter: &DeadLetterFilter,
    before: Option<JobId>,
    limit: i64,
) -> Result<Vec<JobView>, sqlx::Error> {
    // The state is no parameter: with one, a plan for every state could not use the index of the discarded.
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: JobId", kind, queue, state, errors as attempts, max_attempts, priority, run_at, created_at, started_at,
                  finished_at as "finished_at?", null::jsonb as output, error_code, error_message, null::real as progress,
                  null::text as progress_note, request_id,
                  parent_id as "parent_id: JobId", 0 as "children!", null::bigint as ended, null::bigint as failed
           from finished_jobs
           where tenant_id = $1 and state = 'discarded'
             and ($2::text is null or kind = $2) and ($3::text is null or queue = $3)
             and ($4::text is null or error_code = $4)
             and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
             and ($7::timestamptz is null or finished_at >= $7) and ($8::timestamptz is null or finished_at < $8)
             and id < coalesce($9, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
           order by id desc
           limit $10"#,
        tenant.0,
        filter.kind,
        filter.queue,
        filter.error_code,
        filter.created_from,
        filter.created_before,
        filter.finished_from,
        filter.finished_before,
        before.map(|id| id.0),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.view(tenant)).collect()
}

/// Puts these discarded or cancelled jobs back in line, with no errors or crashes counted against them; ids that name
/// anything else are passed over.
///
/// # Errors
/// If the database cannot be asked.
pub async fn requeue(
    conn: &mut PgConnection,
    jobs: &[(TenantId, JobId)],
) -> Result<Vec<Requeued>, sqlx::Error> {
    // The number before the return's was that of the end while it stood (queue::events): no event takes it again.
    // The dedupe key stays behind: a younger job may hold it by now, and this one was asked for by name.
    sqlx::query_as!(
        Requeued,
        r#"with moved as (
               delete from finished_jobs using unnest($1::uuid[], $2::uuid[]) as named (tenant_id, id)
               where finished_jobs.tenant_id = named.tenant_id and finished_jobs.id = named.id
                 and state in ('discarded', 'cancelled')
               returning finished_jobs.*
           ), returned as (
               insert into jobs (tenant_id, id, created_at, priority, max_attempts, children, kind, queue, args,
                   request_id, traceparent, parent_id, last_error_code, last_error_message, run_at, attempt, state)
               select tenant_id, id, created_at, priority, max_attempts, children, kind, queue, args,
                   request_id, traceparent, parent_id, error_code, error_message, now(), attempt, 'available'
               from moved
           ), told as (
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

/// Up to `limit` discarded jobs, the oldest first, locked until the transaction ends; those that somebody else is
/// putting back are passed over.
///
/// # Errors
/// If the database cannot be asked.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    filter: &DeadLetterFilter,
    limit: i64,
) -> Result<Vec<(TenantId, JobId)>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select id as "id: JobId" from finished_jobs
           where tenant_id = $1 and state = 'discarded'
             and ($2::text is null or kind = $2) and ($3::text is null or queue = $3)
             and ($4::text is null or error_code = $4)
             and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
             and ($7::timestamptz is null or finished_at >= $7) and ($8::timestamptz is null or finished_at < $8)
           order by id
           limit $9
           for update skip locked"#,
        tenant.0,
        filter.kind,
        filter.queue,
        filter.error_code,
        filter.created_from,
        filter.created_before,
        filter.finished_from,
        filter.finished_before,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|job: JobId| (tenant, job)).collect())
}

/// How many discarded jobs there are, counted up to [`MOST_COUNTED`].
///
/// # Errors
/// If the database cannot be asked.
pub async fn count(
    conn: &mut PgConnection,
    tenant: TenantId,
    filter: &DeadLetterFilter,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from finished_jobs
               where tenant_id = $1 and state = 'discarded'
                 and ($2::text is null or kind = $2) and ($3::text is null or queue = $3)
                 and ($4::text is null or error_code = $4)
                 and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
                 and ($7::timestamptz is null or finished_at >= $7) and ($8::timestamptz is null or finished_at < $8)
               limit $9
           ) found"#,
        tenant.0,
        filter.kind,
        filter.queue,
        filter.error_code,
        filter.created_from,
        filter.created_before,
        filter.finished_from,
        filter.finished_before,
        MOST_COUNTED,
    )
    .fetch_one(conn)
    .await
}
