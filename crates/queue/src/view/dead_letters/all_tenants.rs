//! Dead letters of all tenants, or of one that is named, for those who look after the whole fleet.
//!
//! Statements of their own, because one that serves both could not use a tenant's index. Nothing that a job carries.

use super::{DeadLetterFilter, MOST_COUNTED};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A discarded job without what it carries, and without the words that were meant for its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    pub id: JobId,
    pub tenant: TenantId,
    pub kind: String,
    pub queue: String,
    /// Attempts that counted.
    pub attempt: i32,
    pub crashes: i32,
    pub max_attempts: i32,
    pub created_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub error_code: Option<String>,
    pub request_id: Option<String>,
}

/// Up to `limit` discarded jobs that are older than `before`, the youngest first.
///
/// # Errors
/// If the database cannot be asked.
pub async fn list(
    conn: &mut PgConnection,
    tenant: Option<TenantId>,
    filter: &DeadLetterFilter,
    before: Option<JobId>,
    limit: i64,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    sqlx::query_as!(
        DeadLetter,
        r#"select id as "id: JobId", tenant_id as "tenant: TenantId", kind, queue, errors as attempt, crashes, max_attempts,
                  created_at, finished_at, error_code, request_id
           from finished_jobs
           where state = 'discarded'
             and ($1::uuid is null or tenant_id = $1)
             and ($2::text is null or kind = $2) and ($3::text is null or queue = $3)
             and ($4::text is null or error_code = $4)
             and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
             and ($7::timestamptz is null or finished_at >= $7) and ($8::timestamptz is null or finished_at < $8)
             and id < coalesce($9, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
           order by id desc
           limit $10"#,
        tenant.map(|tenant| tenant.0),
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
    .await
}

/// Up to `limit` discarded jobs, the oldest first, locked until the transaction ends; those that somebody else is
/// putting back are passed over.
///
/// # Errors
/// If the database cannot be asked.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: Option<TenantId>,
    filter: &DeadLetterFilter,
    limit: i64,
) -> Result<Vec<(TenantId, JobId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant: TenantId", id as "id: JobId" from finished_jobs
           where state = 'discarded'
             and ($1::uuid is null or tenant_id = $1)
             and ($2::text is null or kind = $2) and ($3::text is null or queue = $3)
             and ($4::text is null or error_code = $4)
             and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
             and ($7::timestamptz is null or finished_at >= $7) and ($8::timestamptz is null or finished_at < $8)
           order by id
           limit $9
           for update skip locked"#,
        tenant.map(|tenant| tenant.0),
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
    Ok(rows.into_iter().map(|row| (row.tenant, row.id)).collect())
}

/// How many discarded jobs there are, counted up to [`MOST_COUNTED`].
///
/// # Errors
/// If the database cannot be asked.
pub async fn count(
    conn: &mut PgConnection,
    tenant: Option<TenantId>,
    filter: &DeadLetterFilter,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
               select from finished_jobs
               where state = 'discarded'
                 and ($1::uuid is null or tenant_id = $1)
                 and ($2::text is null or kind = $2) and ($3::text is null or queue = $3)
                 and ($4::text is null or error_code = $4)
                 and ($5::timestamptz is null or created_at >= $5) and ($6::timestamptz is null or created_at < $6)
                 and ($7::timestamptz is null or finished_at >= $7) and ($8::timestamptz is null or finished_at < $8)
               limit $9
           ) found"#,
        tenant.map(|tenant| tenant.0),
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
