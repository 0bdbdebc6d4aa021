//! `llm_checkpoints`: answers of a model, kept from the moment they arrive until their job ends, so that a crash in
//! between does not pay for them twice. The one table here that holds a model's words, for as short as can be.

use base::{JobId, TenantId};
use serde_json::Value;
use sqlx::PgConnection;

/// Which answer: the job's step and what was asked.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointKey {
    pub job: JobId,
    pub step: &'static str,
    pub request_hash: [u8; 32],
}

/// The kept answer, if any.
///
/// # Errors
/// When the database does not answer.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: CheckpointKey,
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

/// Keeps an answer; a second one to the same question is dropped. The caller holds the job's lease.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: CheckpointKey,
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

/// Forgets a job's answers.
///
/// # Errors
/// When the database refuses.
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

/// Forgets answers of jobs that ended without asking for it (discarded, cancelled), in every tenant. Three days are
/// longer than any job waits for a model; one that waited longer would pay once more, and lose nothing else.
///
/// # Errors
/// When the database refuses.
pub async fn purge(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let deleted =
        sqlx::query!("delete from llm_checkpoints where created_at < now() - interval '3 days'")
            .execute(conn)
            .await?;
    Ok(deleted.rows_affected())
}
