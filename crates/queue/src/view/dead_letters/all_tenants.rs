//! Dead letters of all tenants, or of a given one, for operators.
//!
//! Separate statements, because one for both uses could not use the tenants' index. Never returns arguments or outputs.

use super::{DeadLetterFilter, MAX_COUNTED};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A discarded job without its arguments and without the message for its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    pub id: JobId,
    pub tenant: TenantId,
    pub kind: String,
    pub queue: String,
    /// Attempts that count.
    pub attempts: i32,
    pub crashes: i32,
    pub max_attempts: i32,
    pub created_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub error_code: Option<String>,
    pub request_id: Option<String>,
}

/// Lists up to `limit` discarded jobs older than `before`, newest first.
pub async fn list(
    conn: &mut PgConnection,
    tenant: Option<TenantId>,
    filter: &DeadLetterFilter,
    before: Option<JobId>,
    limit: i64,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    filtered!(
        query_as!(DeadLetter),
        r#"select id as "id: JobId", tenant_id as "tenant: TenantId", kind, queue, errors as attempts, crashes, max_attempts,
                  created_at, finished_at, error_code, request_id
           from finished_jobs
           where state = 'discarded'
             and ($1::uuid is null or tenant_id = $1)"#,
        r#"
             and id < coalesce($9, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
           order by id desc
           limit $10"#,
        tenant.map(|tenant| tenant.0), filter,
        before.map(|id| id.0),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Locks up to `limit` discarded jobs until the transaction ends, oldest first. Skips those that are being retried already.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: Option<TenantId>,
    filter: &DeadLetterFilter,
    limit: i64,
) -> Result<Vec<(TenantId, JobId)>, sqlx::Error> {
    let rows = filtered!(
        query!(),
        r#"select tenant_id as "tenant: TenantId", id as "id: JobId" from finished_jobs
           where state = 'discarded'
             and ($1::uuid is null or tenant_id = $1)"#,
        r#"
           order by id
           limit $9
           for update skip locked"#,
        tenant.map(|tenant| tenant.0),
        filter,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant, row.id)).collect())
}

/// Counts the discarded jobs, up to [`MAX_COUNTED`].
pub async fn count(
    conn: &mut PgConnection,
    tenant: Option<TenantId>,
    filter: &DeadLetterFilter,
) -> Result<i64, sqlx::Error> {
    filtered!(
        query_scalar!(),
        r#"select count(*) as "count!" from (
               select from finished_jobs
               where state = 'discarded'
                 and ($1::uuid is null or tenant_id = $1)"#,
        r#"
               limit $9
           ) found"#,
        tenant.map(|tenant| tenant.0),
        filter,
        MAX_COUNTED,
    )
    .fetch_one(conn)
    .await
}
