//! `llm_captures`: questions to models and their answers, sealed, as long as the tenant's owner wants them kept.

use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::secrets::{Sealed, SecretRow};

/// Returns the row that an exchange is sealed for.
pub fn place(tenant: TenantId, call: Uuid) -> SecretRow<'static> {
    SecretRow {
        table: "llm_captures",
        tenant: tenant.0,
        row: call,
        column: "exchange",
    }
}

/// An exchange with a model.
#[derive(Clone, Copy, Debug)]
pub struct NewCapture<'a> {
    pub tenant: TenantId,
    pub call: Uuid,
    pub job: JobId,
    pub step: &'a str,
    pub exchange: &'a Sealed,
}

/// A sealed exchange, with what is recorded of its call.
#[derive(Clone, Debug)]
pub struct StoredCapture {
    pub call: Uuid,
    pub step: String,
    pub provider: String,
    pub model: String,
    pub exchange: Vec<u8>,
    pub created_at: DateTime<Utc>,
}

/// Returns whether the tenant wants exchanges kept.
pub async fn is_on(conn: &mut PgConnection, tenant: TenantId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select prompt_capture_days is not null as "is_on!" from tenants where id = $1"#,
        tenant.0,
    )
    .fetch_one(conn)
    .await
}

/// Stores an exchange, in place of what was stored of the same call.
pub async fn put(conn: &mut PgConnection, new: &NewCapture<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into llm_captures (tenant_id, call_id, job_id, step, exchange, key_id) values ($1, $2, $3, $4, $5, $6)
         on conflict (tenant_id, call_id) do update set exchange = excluded.exchange, key_id = excluded.key_id",
        new.tenant.0,
        new.call,
        new.job.0,
        new.step,
        new.exchange.bytes,
        new.exchange.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Finds the exchange of a call.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    call: Uuid,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select exchange from llm_captures where tenant_id = $1 and call_id = $2",
        tenant.0,
        call,
    )
    .fetch_optional(conn)
    .await
}

/// Lists the exchanges of a job, oldest first.
pub async fn of_job(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Vec<StoredCapture>, sqlx::Error> {
    sqlx::query_as!(
        StoredCapture,
        "select call_id as call, capture.step, provider, model, exchange, capture.created_at
         from llm_captures capture
         join llm_calls call on call.tenant_id = capture.tenant_id and call.id = call_id
         where capture.tenant_id = $1 and capture.job_id = $2
         order by capture.created_at, call_id",
        tenant.0,
        job.0,
    )
    .fetch_all(conn)
    .await
}

/// Deletes all exchanges of a tenant.
pub async fn delete_all(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from llm_captures where tenant_id = $1", tenant.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes up to `limit` exchanges in every tenant that are too old, older than emails are kept, or of a job that is deleted.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from llm_captures where ctid = any(array(
             select capture.ctid from llm_captures capture
             join tenants on tenants.id = capture.tenant_id
             where capture.created_at
                     <= now() - make_interval(days => coalesce(least(prompt_capture_days, email_retention_days), 0))
                or not exists (
                    select from jobs where jobs.tenant_id = capture.tenant_id and jobs.id = capture.job_id
                    union all
                    select from finished_jobs ended where ended.tenant_id = capture.tenant_id and ended.id = capture.job_id)
             order by capture.created_at limit $1
             for update of capture skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}

/// Locks up to `limit` exchanges after this one that another key seals.
pub async fn lock_sealed_by_others(
    conn: &mut PgConnection,
    key_id: &str,
    after: Option<(TenantId, Uuid)>,
    limit: i64,
) -> Result<Vec<(TenantId, Uuid, Vec<u8>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select tenant_id as "tenant: TenantId", call_id, exchange from llm_captures
        where key_id <> $1 and ($3::uuid is null or (tenant_id, call_id) > ($3, $4::uuid))
        order by tenant_id, call_id
        limit $2
        for update
        "#,
        key_id,
        limit,
        after.map(|after| after.0.0),
        after.map(|after| after.1),
    )
    .fetch_all(conn)
    .await?;
    let found = rows
        .into_iter()
        .map(|row| (row.tenant, row.call_id, row.exchange));
    Ok(found.collect())
}

/// Replaces a sealed exchange.
pub async fn set_sealed(
    conn: &mut PgConnection,
    tenant: TenantId,
    call: Uuid,
    exchange: &Sealed,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update llm_captures set exchange = $3, key_id = $4 where tenant_id = $1 and call_id = $2",
        tenant.0,
        call,
        exchange.bytes,
        exchange.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` exchanges that this key seals.
pub async fn delete_sealed_by(
    conn: &mut PgConnection,
    key_id: &str,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from llm_captures where ctid = any(array(select ctid from llm_captures where key_id = $1 limit $2))",
        key_id,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}
