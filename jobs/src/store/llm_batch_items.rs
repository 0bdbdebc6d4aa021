//! `llm_batch_items`: requests that are sent with others in a batch. Holds the request until the provider has it, and then only
//! that it was sent.

use super::llm_checkpoints::CheckpointKey;
use base::{JobId, TenantId, str_enum};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

str_enum! {
    /// How far a request of a batch is.
    ItemState {
        /// It waits for others.
        Waiting = "waiting",
        /// It is in a batch that was made, or is being made.
        Sent = "sent",
        /// Its answer is a checkpoint of the job.
        Answered = "answered",
        /// The batch brought no usable answer; the job asks by itself.
        Failed = "failed",
    }
}

/// A request that waits for a batch.
pub struct NewItem<'a> {
    pub tenant: TenantId,
    pub key: CheckpointKey<'a>,
    /// Its row in `llm_calls`.
    pub call: Uuid,
    pub provider: &'a str,
    pub model: &'a str,
    pub max_output_tokens: i32,
    pub body: &'a Value,
}

/// A request of a batch.
#[derive(Clone, Debug)]
pub struct StoredItem {
    pub tenant: TenantId,
    pub job: JobId,
    pub step: String,
    pub call: Uuid,
    pub request_hash: [u8; 32],
    /// The attempt that stored it.
    pub attempt: i32,
    pub prompt_version: String,
    pub prompt_bytes: i32,
    pub max_output_tokens: i32,
    /// None once the provider has it.
    pub body: Option<Value>,
    pub created_at: DateTime<Utc>,
    /// The job has not ended.
    pub is_awaited: bool,
    /// The trace context of a job that has not ended.
    pub traceparent: Option<String>,
}

impl StoredItem {
    /// Returns where its answer is stored.
    pub fn checkpoint(&self) -> CheckpointKey<'_> {
        CheckpointKey {
            job: self.job,
            step: &self.step,
            request_hash: self.request_hash,
        }
    }
}

/// How far the request of a job's step is.
pub struct HandedInItem {
    pub state: ItemState,
    /// Of the question as it was asked: the prompt may have changed since.
    pub request_hash: [u8; 32],
}

/// Finds the request of a job's step; none if it was never in a batch.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
    step: &str,
) -> Result<Option<HandedInItem>, sqlx::Error> {
    sqlx::query_as!(
        HandedInItem,
        r#"select state as "state: ItemState", request_hash as "request_hash: [u8; 32]" from llm_batch_items
           where tenant_id = $1 and job_id = $2 and step = $3"#,
        tenant.0,
        job.0,
        step,
    )
    .fetch_optional(conn)
    .await
}

/// Stores a request. The caller holds the job's lease and has written the row of the call.
pub async fn insert(conn: &mut PgConnection, item: &NewItem<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into llm_batch_items (tenant_id, job_id, step, call_id, request_hash, provider, model, max_output_tokens, body)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        item.tenant.0,
        item.key.job.0,
        item.key.step,
        item.call,
        &item.key.request_hash,
        item.provider,
        item.model,
        item.max_output_tokens,
        item.body,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists the requests of a batch that have not ended.
pub async fn of_batch(
    conn: &mut PgConnection,
    batch: Uuid,
) -> Result<Vec<StoredItem>, sqlx::Error> {
    sqlx::query_as!(
        StoredItem,
        r#"
        select item.tenant_id as "tenant: TenantId", item.job_id as "job: JobId", item.step, call_id as call, request_hash as "request_hash: [u8; 32]",
            call.attempt, call.prompt_version, call.prompt_bytes, max_output_tokens, body, item.created_at,
            jobs.id is not null as "is_awaited!", jobs.traceparent
        from llm_batch_items item
        left join jobs on jobs.tenant_id = item.tenant_id and jobs.id = item.job_id
        join llm_calls call on call.tenant_id = item.tenant_id and call.id = item.call_id
        where batch_id = $1
        order by item.created_at, call_id
        "#,
        batch,
    )
    .fetch_all(conn)
    .await
}

/// Ends a request of a batch; false if another worker did so before.
pub async fn end(
    conn: &mut PgConnection,
    call: Uuid,
    state: ItemState,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update llm_batch_items set state = $2, batch_id = null, body = null where call_id = $1 and state = 'sent'",
        call,
        state.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A request that left before it was sent.
#[derive(Clone, Copy, Debug)]
pub struct LeftItem {
    pub tenant: TenantId,
    pub call: Uuid,
}

/// Deletes up to `limit` requests that wait for a batch and whose jobs have ended, in every tenant.
pub async fn leave(conn: &mut PgConnection, limit: i64) -> Result<Vec<LeftItem>, sqlx::Error> {
    sqlx::query_as!(
        LeftItem,
        r#"
        delete from llm_batch_items where ctid = any(array(
            select item.ctid from llm_batch_items item
            where state = 'waiting'
              and not exists (select from jobs where jobs.tenant_id = item.tenant_id and jobs.id = item.job_id)
            order by created_at limit $1
            for update skip locked))
        returning tenant_id as "tenant: TenantId", call_id as call
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Deletes up to `limit` requests that have ended and whose jobs have too, in every tenant.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from llm_batch_items where ctid = any(array(
             select item.ctid from llm_batch_items item
             where state in ('answered', 'failed')
               and not exists (select from jobs where jobs.tenant_id = item.tenant_id and jobs.id = item.job_id)
             order by created_at limit $1
             for update skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}
