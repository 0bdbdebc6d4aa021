//! `llm_checkpoints`: completions, stored from their arrival until their job ends, so that a crash in between does not
//! pay twice. The only table here that holds a model's text, for as short as possible.

use base::{JobId, TenantId};
use serde_json::Value;
use sqlx::PgConnection;

/// The key of a completion: the job's step and the request.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointKey<'a> {
    pub job: JobId,
    pub step: &'a str,
    pub request_hash: [u8; 32],
}

/// Finds the stored completion.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: CheckpointKey<'_>,
) -> Result<Option<Value>, sqlx::Error> {
    sqlx::query_scalar!(
        "select completion from llm_checkpoints
         where tenant_id = $1 and job_id = $2 and step = $3 and request_hash = $4",
        tenant.0,
        key.job.0,
        key.step,
        &key.request_hash,
    )
    .fetch_optional(conn)
    .await
}

/// A stored completion with its question.
#[derive(Clone, Debug)]
pub struct StoredCompletion {
    pub step: String,
    pub request_hash: Vec<u8>,
    pub completion: Value,
}

/// Lists the completions of a job that has not settled, oldest first.
pub async fn of_job(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Vec<StoredCompletion>, sqlx::Error> {
    sqlx::query_as!(
        StoredCompletion,
        "select step, request_hash, completion from llm_checkpoints
         where tenant_id = $1 and job_id = $2 order by created_at, step",
        tenant.0,
        job.0,
    )
    .fetch_all(conn)
    .await
}

/// Stores a completion; a second one for the same request is dropped. The caller holds the job's lease.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: CheckpointKey<'_>,
    completion: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into llm_checkpoints (tenant_id, job_id, step, request_hash, completion) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, job_id, step, request_hash) do nothing",
        tenant.0,
        key.job.0,
        key.step,
        &key.request_hash,
        completion,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes a job's completions.
pub async fn delete_of_job(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from llm_checkpoints where tenant_id = $1 and job_id = $2",
        tenant.0,
        job.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` completions of jobs that ended without deleting them (discarded, cancelled), in every tenant. Three days
/// are longer than any job waits for a model; a job that waited longer would pay once more and lose nothing else.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from llm_checkpoints where ctid = any(array(
             select ctid from llm_checkpoints where created_at < now() - interval '3 days'
             order by created_at limit $1 for update skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}
