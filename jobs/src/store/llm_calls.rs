//! `llm_calls`: one row per model call, also for failed ones: its cost, never its text.

use base::{JobId, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

/// A call to insert.
pub struct NewLlmCall<'a> {
    pub job: JobId,
    pub attempt: i32,
    /// `triage`, `triage.repair`.
    pub step: &'a str,
    pub provider: &'a str,
    pub model: &'a str,
    pub prompt_version: &'a str,
    pub prompt_sha256: [u8; 32],
    pub prompt_bytes: i32,
    pub response_bytes: i32,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cached_tokens: i64,
    /// Requests sent, including repeated ones.
    pub tries: i32,
    pub duration_ms: i64,
    /// `ok` or the class of the error.
    pub outcome: &'a str,
}

/// Inserts a call and returns its id.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    call: &NewLlmCall<'_>,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into llm_calls (
            tenant_id, id, job_id, attempt, step, provider, model, prompt_version, prompt_sha256, prompt_bytes,
            response_bytes, input_tokens, output_tokens, cached_tokens, tries, duration_ms, outcome)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        returning id
        "#,
        tenant.0,
        Uuid::now_v7(),
        call.job.0,
        call.attempt,
        call.step,
        call.provider,
        call.model,
        call.prompt_version,
        &call.prompt_sha256,
        call.prompt_bytes,
        call.response_bytes,
        call.input_tokens,
        call.output_tokens,
        call.cached_tokens,
        call.tries,
        call.duration_ms,
        call.outcome,
    )
    .fetch_one(conn)
    .await
}
