//! One model call that is never paid for twice: [`ask`].
//!
//! The answer is stored before it is used, in a transaction that holds the job's lease: a worker that has lost the job
//! writes nothing, and one that died after the answer finds it at the next attempt. The call's row and its audit entry
//! are written beside it, also for a call that failed: what was spent is known whatever becomes of the attempt.

use jobs::commands::audit::JobAudit;
use jobs::domain::ResourceKind;
use jobs::{
    domain::{AuditAction, Detail},
    store::{
        audit,
        llm_calls::{self, NewLlmCall},
        llm_checkpoints::{self, CheckpointKey},
    },
};
use llm::{Call, Completion, LlmError, Model, OutputSchema, Prompt, Spent};
use queue::runtime::handler::JobContext;
use queue::{Job, lease};
use sqlx::PgConnection;
use tokio::time::Instant;

/// A question to the model.
pub(in crate::handlers) struct Question {
    /// The label of all calls of the kind of job.
    pub(in crate::handlers) label: &'static str,
    /// The name of its checkpoint: `triage`, `triage.repair`.
    pub(in crate::handlers) step: &'static str,
    pub(in crate::handlers) prompt: Prompt,
    pub(in crate::handlers) schema: OutputSchema,
    pub(in crate::handlers) max_output_tokens: u32,
    pub(in crate::handlers) deadline: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::handlers) enum AskError {
    #[error("the model gave no answer")]
    Model(#[source] LlmError),
    /// Whatever the model said belongs to a job that somebody else runs now.
    #[error("the lease was lost during the call")]
    LeaseLost,
    #[error("could not read or write the call")]
    Database(#[from] sqlx::Error),
}

/// Asks, unless an earlier attempt of this job got an answer to the very same question.
pub(in crate::handlers) async fn ask(
    ctx: &JobContext,
    model: &Model,
    question: Question,
) -> Result<Completion, AskError> {
    let job = &ctx.job;
    let request_hash = question.prompt.sha256();
    let key = CheckpointKey {
        job: job.lease.job,
        step: question.step,
        request_hash,
    };
    if let Some(kept) = kept_answer(ctx, key).await? {
        return Ok(kept);
    }
    let version = question.prompt.version();
    let call = Call {
        prompt: question.prompt,
        schema: question.schema,
        max_output_tokens: question.max_output_tokens,
        label: question.label,
        deadline: question.deadline,
        tenant: job.tenant,
        job: job.lease.job,
        attempt: job.lease.attempt,
        cancelled: &ctx.cancelled,
    };
    let (answered, spent) = model.complete_counting(&call).await;
    let ended = Ended {
        version,
        spent,
        answered: answered.as_ref(),
    };
    record(ctx, model, key, &ended).await?;
    answered.map_err(AskError::Model)
}

/// A checkpoint that this version cannot read any more is as good as none.
async fn kept_answer(ctx: &JobContext, key: CheckpointKey) -> Result<Option<Completion>, AskError> {
    let mut conn = ctx.pool.acquire().await?;
    let kept = llm_checkpoints::find(&mut conn, ctx.job.tenant, key).await?;
    Ok(kept.and_then(|kept| serde_json::from_value(kept).ok()))
}

/// How a call ended.
struct Ended<'a> {
    version: &'static str,
    spent: Spent,
    answered: Result<&'a Completion, &'a LlmError>,
}

async fn record(
    ctx: &JobContext,
    model: &Model,
    key: CheckpointKey,
    ended: &Ended<'_>,
) -> Result<(), AskError> {
    if let Err(LlmError::Cancelled) = ended.answered {
        return Ok(());
    }
    let job = &ctx.job;
    let mut tx = ctx.pool.begin().await?;
    if !lease::hold(&mut tx, job.lease).await? {
        return Err(AskError::LeaseLost);
    }
    if let Ok(completion) = ended.answered {
        let kept =
            serde_json::to_value(completion).map_err(|error| sqlx::Error::Encode(error.into()))?;
        llm_checkpoints::insert(&mut tx, job.tenant, key, &kept).await?;
    }
    record_call(&mut tx, job, model, key, ended).await?;
    tx.commit().await?;
    Ok(())
}

async fn record_call(
    conn: &mut PgConnection,
    job: &Job,
    model: &Model,
    key: CheckpointKey,
    ended: &Ended<'_>,
) -> Result<(), sqlx::Error> {
    let completion = ended.answered.ok();
    let Spent {
        usage,
        tries,
        duration,
        prompt_bytes,
        response_bytes,
    } = ended.spent;
    let outcome = ended.answered.map_or_else(LlmError::class, |_| "ok");
    let call = NewLlmCall {
        job: key.job,
        attempt: job.lease.attempt,
        step: key.step,
        provider: model.provider_name(),
        model: completion.map_or(model.model_name(), |completion| &completion.model),
        prompt_version: ended.version,
        prompt_sha256: key.request_hash,
        prompt_bytes: small(prompt_bytes),
        response_bytes: small(response_bytes),
        input_tokens: large(usage.input),
        output_tokens: large(usage.output),
        cached_tokens: large(usage.cache_read),
        tries: small(tries.into()),
        duration_ms: i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
        outcome,
    };
    let id = llm_calls::insert(conn, job.tenant, &call).await?;
    let detail = Detail::new()
        .word("step", key.step)
        .name("provider", call.provider)
        .name("model", call.model)
        .name("prompt_version", ended.version)
        .count("input_tokens", call.input_tokens)
        .count("output_tokens", call.output_tokens)
        .count("duration_ms", call.duration_ms);
    let mut entry = job
        .audit(AuditAction::LlmCalled, ResourceKind::LlmCall, id)
        .with_detail(detail);
    if ended.answered.is_err() {
        entry = entry.failed(outcome);
    }
    audit::insert(conn, &[entry]).await
}

fn small(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn large(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
