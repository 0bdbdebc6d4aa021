//! Calls the model and never pays for the same answer twice: [`ask`].
//!
//! Stores the answer before it is used, in a transaction that holds the job's lease: a worker that lost the job writes
//! nothing, and the next attempt of a crashed job finds the answer. The same transaction records the call and its audit entry,
//! also for a failed call, so that its cost is known whatever happens to the attempt.

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
use llm::{Call, CallCost, Completion, LlmError, Model, OutputSchema, Prompt};
use queue::runtime::handler::JobContext;
use queue::{Job, lease};
use sqlx::PgConnection;
use tokio::time::Instant;

/// A question to the model.
pub(in crate::handlers) struct Question {
    /// The task, a label value.
    pub(in crate::handlers) task: &'static str,
    /// The step of its checkpoint: `triage`, `triage.repair`.
    pub(in crate::handlers) step: &'static str,
    pub(in crate::handlers) prompt: Prompt,
    pub(in crate::handlers) schema: OutputSchema,
    pub(in crate::handlers) max_output_tokens: u32,
    pub(in crate::handlers) deadline: Instant,
}

/// The question has no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::handlers) enum AskError {
    #[error("the model call failed")]
    Model(#[source] LlmError),
    /// Another worker runs the job now; the answer is dropped.
    #[error("the lease was lost during the call")]
    LeaseLost,
    #[error("could not read or record the call")]
    Database(#[from] sqlx::Error),
}

/// Calls the model, unless an earlier attempt of this job has an answer to the same prompt.
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
    if let Some(completion) = stored_answer(ctx, key).await? {
        return Ok(completion);
    }
    let version = question.prompt.version();
    let call = Call {
        prompt: question.prompt,
        schema: question.schema,
        max_output_tokens: question.max_output_tokens,
        task: question.task,
        deadline: question.deadline,
        tenant: job.tenant,
        job: job.lease.job,
        attempt: job.lease.attempt,
        cancelled: &ctx.cancelled,
    };
    let (result, cost) = model.complete_with_cost(&call).await;
    let ended = EndedCall {
        version,
        cost,
        result: result.as_ref(),
    };
    record(ctx, model, key, &ended).await?;
    result.map_err(AskError::Model)
}

/// Reads the checkpoint; ignores one that this version cannot parse.
async fn stored_answer(
    ctx: &JobContext,
    key: CheckpointKey,
) -> Result<Option<Completion>, AskError> {
    let mut conn = ctx.pool.acquire().await?;
    let stored = llm_checkpoints::find(&mut conn, ctx.job.tenant, key).await?;
    Ok(stored.and_then(|stored| serde_json::from_value(stored).ok()))
}

/// An ended call.
struct EndedCall<'a> {
    version: &'static str,
    cost: CallCost,
    result: Result<&'a Completion, &'a LlmError>,
}

/// Records the call and stores its answer.
async fn record(
    ctx: &JobContext,
    model: &Model,
    key: CheckpointKey,
    ended: &EndedCall<'_>,
) -> Result<(), AskError> {
    if let Err(LlmError::Cancelled) = ended.result {
        return Ok(());
    }
    let job = &ctx.job;
    let mut tx = ctx.pool.begin().await?;
    if !lease::lock_if_held(&mut tx, job.lease).await? {
        return Err(AskError::LeaseLost);
    }
    if let Ok(completion) = ended.result {
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
    ended: &EndedCall<'_>,
) -> Result<(), sqlx::Error> {
    let completion = ended.result.ok();
    let CallCost {
        usage,
        tries,
        duration,
        prompt_bytes,
        response_bytes,
    } = ended.cost;
    let outcome = ended.result.map_or_else(LlmError::class, |_| "ok");
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
    if ended.result.is_err() {
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
