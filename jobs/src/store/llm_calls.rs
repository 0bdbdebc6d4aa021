//! `llm_calls`: one row per model call, also for failed ones: its cost, never its text.

use async_trait::async_trait;
use base::{JobId, TenantId};
use queue::operate::retention::walk::{AgedTable, block_number};
use sqlx::{PgConnection, PgPool};
use std::ops::Range;
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

/// The calls older than 90 days, which cover a quarter's costs.
pub struct OldCalls<'a>(pub &'a PgPool);

#[async_trait]
impl AgedTable for OldCalls<'_> {
    async fn blocks(&self) -> Result<u64, sqlx::Error> {
        let blocks = sqlx::query_scalar!(
            r#"select pg_relation_size('llm_calls') / current_setting('block_size')::bigint as "blocks!""#
        )
        .fetch_one(self.0)
        .await?;
        Ok(u64::try_from(blocks).unwrap_or_default())
    }

    async fn first_aged_block(&self) -> Result<Option<u64>, sqlx::Error> {
        let found = sqlx::query_scalar!(
            r#"select (ctid::text::point)[0]::bigint as "block!" from llm_calls
               where created_at < now() - interval '90 days' limit 1"#
        )
        .fetch_optional(self.0)
        .await?;
        Ok(found.map(|block| u64::try_from(block).unwrap_or_default()))
    }

    async fn prune(&self, blocks: Range<u64>) -> Result<u64, sqlx::Error> {
        let done = sqlx::query!(
            "delete from llm_calls
             where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
               and created_at + interval '0' < now() - interval '90 days'",
            block_number(blocks.start),
            block_number(blocks.end),
        )
        .execute(self.0)
        .await?;
        Ok(done.rows_affected())
    }
}
