//! Calls the model and never pays for the same answer twice: [`ask`].
//!
//! A model that is unavailable or refused by its budget is followed by its fallbacks in the same attempt. The first model is asked
//! first by every job, so that its probe is a job of its own. A question that can wait goes into a batch first ([`batched`]).
//!
//! [`ledger`] records each request before it is sent. The answer is stored before it is used, in a transaction that holds the
//! job's lease: a worker that lost the job stores nothing, and the next attempt of a crashed job finds the answer. The same
//! transaction completes the record of the request and writes its audit entry.

mod access;
mod batched;
mod cached;
mod forget;
mod ledger;
mod metrics;
mod recorded;

pub use access::ModelAccess;
pub(crate) use batched::{EndedRequest, Missing, end_item};
pub(in crate::handlers) use forget::forget_answers;
pub use metrics::SpendMetrics;
pub use recorded::{RecordedAnswer, RecordedAnswers, ReplayedAnswer, ReplayedStep};

use crate::handlers::model_failure::effects::passes_on;
use crate::recording::{Exchange, Recorder, rendered};
use base::{
    TenantId, db, hex,
    telemetry::{chain, millis},
};
use batched::HandedIn;
use cached::Cached;
use chrono::{DateTime, NaiveTime, Utc};
use jobs::commands::audit::JobAudit;
use jobs::domain::ResourceKind;
use jobs::{
    domain::{AuditAction, Detail, llm::urgency::Urgency},
    kinds::triage::LlmUsage,
    store::{
        audit, llm_answers,
        llm_checkpoints::{self, CheckpointKey},
        llm_usage,
    },
};
use ledger::{Answered, JobLedger};
use llm::{Call, CallCost, Completion, LlmError, Model, OutputSchema, Prompt, ServiceTier};
use queue::lease;
use queue::runtime::handler::JobContext;
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
    /// The hash of the prompt as it is on the whole day of the job; none of a question whose answer is not used again.
    pub(in crate::handlers) same_today: Option<[u8; 32]>,
    /// How soon its answer is needed.
    pub(in crate::handlers) urgency: Urgency,
    /// Whether the fallbacks of the model may answer in its place.
    pub(in crate::handlers) falls_back: bool,
    pub(in crate::handlers) deadline: Instant,
}

/// The question has no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::handlers) enum AskError {
    #[error("the model call failed")]
    Model {
        #[source]
        last: FailedCall,
        /// Of the models that were asked before, in that order.
        earlier: Vec<FailedCall>,
    },
    /// Another worker runs the job now; the answer is dropped.
    #[error("the lease was lost during the call")]
    LeaseLost,
    #[error("could not read or record the call")]
    Database(#[from] sqlx::Error),
    /// A batch will answer; the job is parked until then.
    #[error("a batch will answer the question {step}")]
    Batched { step: &'static str },
    /// A replay has no answer to this question.
    #[error("no answer to the question {step} was recorded")]
    NotRecorded { step: &'static str },
}

impl AskError {
    /// Whether the database may take the same record a moment later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => db::is_transient(error),
            Self::Model { .. }
            | Self::LeaseLost
            | Self::Batched { .. }
            | Self::NotRecorded { .. } => false,
        }
    }
}

/// A call that has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{provider}/{model} did not answer")]
pub(in crate::handlers) struct FailedCall {
    pub(in crate::handlers) provider: String,
    pub(in crate::handlers) model: String,
    #[source]
    pub(in crate::handlers) error: LlmError,
    /// The provider reported what the unusable answer cost.
    pub(in crate::handlers) is_billed: bool,
}

/// Calls the model and, if need be, its fallbacks, unless an earlier attempt of this job has an answer to the same prompt.
pub(in crate::handlers) async fn ask(
    ctx: &JobContext,
    access: &ModelAccess,
    question: Question,
) -> Result<Completion, AskError> {
    let job = &ctx.job;
    let request_hash = question.prompt.sha256();
    if let Some(recorded) = &access.recorded {
        let step = question.step;
        let answer = recorded.take(step, &hex(&request_hash));
        return answer.ok_or(AskError::NotRecorded { step });
    }
    let key = CheckpointKey {
        job: job.lease.job,
        step: question.step,
        request_hash,
    };
    if let Some(completion) = stored_answer(ctx, key).await? {
        return Ok(completion);
    }
    let version = question.prompt.version();
    let falls_back = question.falls_back;
    let call = Call {
        prompt: question.prompt,
        schema: question.schema,
        max_output_tokens: question.max_output_tokens,
        task: question.task,
        tier: match question.urgency {
            Urgency::Now => ServiceTier::Standard,
            Urgency::Soon | Urgency::Whenever => ServiceTier::Flex,
        },
        deadline: question.deadline,
        tenant: job.tenant,
        job: job.lease.job,
        attempt: job.lease.attempt,
        cancelled: &ctx.cancelled,
    };
    let route = access.models.route(job.tenant, call.task);
    let mut cache = None;
    if let Some(same_today) = question.same_today {
        match cached::reuse(ctx, &route.first, &call, key, same_today).await? {
            Cached::Answer(completion) => return Ok(*completion),
            Cached::Missing(hash) => cache = Some(hash),
            Cached::Off => {}
        }
    }
    if question.urgency == Urgency::Whenever {
        let step = question.step;
        match batched::hand_in(ctx, access, &route.first, &call, key).await? {
            HandedIn::Parked => return Err(AskError::Batched { step }),
            HandedIn::Answered(completion) => return Ok(*completion),
            HandedIn::NotTaken => {}
        }
    }
    let mut earlier = Vec::new();
    let mut fallbacks = route.fallbacks.iter();
    let mut model = &route.first;
    loop {
        let ledger = JobLedger {
            ctx,
            access,
            model,
            key,
            version,
            // Not of a fallback: the question names the first model.
            cache: cache.filter(|_| earlier.is_empty()),
        };
        let last = match ask_one(ctx, &call, &ledger).await? {
            Ok(completion) => return Ok(completion),
            Err(failed) => failed,
        };
        let may_pass_on = falls_back && passes_on(&last.error, last.is_billed, ctx.clock.now());
        match fallbacks.next().filter(|_| may_pass_on) {
            None => return Err(AskError::Model { last, earlier }),
            Some(next) => {
                tracing::warn!(
                    provider = last.provider,
                    model = last.model,
                    class = last.error.class(),
                    next = next.model_name(),
                    "the model does not answer: the next one is asked"
                );
                (access.models.metrics()).fallback(&last.provider, &last.model, &last.error);
                earlier.push(last);
                model = next;
            }
        }
    }
}

/// Calls one model and records the call.
async fn ask_one(
    ctx: &JobContext,
    call: &Call<'_>,
    ledger: &JobLedger<'_>,
) -> Result<Result<Completion, FailedCall>, AskError> {
    let model: &Model = ledger.model;
    let (result, cost) = model.complete_recorded(call, ledger).await;
    let ended = EndedCall {
        version: ledger.version,
        cost,
        result: result.as_ref(),
    };
    if let Some(recorder) = &ledger.access.recorder {
        write_exchange(recorder, call, ledger, ended.result).await;
    }
    if cost.tries > 0 {
        // Kept while the database refuses it, or the same answer would be bought again.
        let write = || record(ctx, ledger, &ended);
        ctx.store(write, AskError::is_transient).await?;
    }
    Ok(result.map_err(|error| FailedCall {
        provider: model.provider_name().to_owned(),
        model: model.model_name().to_owned(),
        is_billed: cost.last_usage.total() > 0,
        error,
    }))
}

/// Writes the question and its answer to disk, in development. The answer counts also if that fails.
async fn write_exchange(
    recorder: &Recorder,
    call: &Call<'_>,
    ledger: &JobLedger<'_>,
    result: Result<&Completion, &LlmError>,
) {
    let (messages, schema) = rendered(&call.prompt, &call.schema);
    let exchange = Exchange {
        recorded_at: ledger.ctx.clock.now(),
        job: call.job.0,
        kind: ledger.ctx.job.kind.clone(),
        step: ledger.key.step.to_owned(),
        attempt: call.attempt,
        provider: ledger.model.provider_name().to_owned(),
        model: ledger.model.model_name().to_owned(),
        prompt_version: ledger.version.to_owned(),
        prompt_sha256: hex(&ledger.key.request_hash),
        messages,
        schema,
        answer: result.ok().cloned(),
        failure: result.err().map(|error| error.class().to_owned()),
    };
    if let Err(error) = recorder.write(exchange).await {
        let error = chain(&error);
        tracing::warn!(error, "could not write an exchange to LLM_RECORD_DIR");
    }
}

/// Reads the answer of an earlier attempt.
async fn stored_answer(
    ctx: &JobContext,
    key: CheckpointKey<'_>,
) -> Result<Option<Completion>, AskError> {
    let mut conn = ctx.pool.acquire().await?;
    Ok(read_checkpoint(&mut conn, ctx.job.tenant, key).await?)
}

/// Reads a checkpoint; ignores one that this version cannot parse.
async fn read_checkpoint(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: CheckpointKey<'_>,
) -> Result<Option<Completion>, sqlx::Error> {
    let stored = llm_checkpoints::find(conn, tenant, key).await?;
    Ok(stored.and_then(|stored| serde_json::from_value(stored).ok()))
}

/// An ended call.
struct EndedCall<'a> {
    version: &'static str,
    cost: CallCost,
    result: Result<&'a Completion, &'a LlmError>,
}

/// Completes the record of an answered request, stores its answer and writes the audit entry of the call.
async fn record(
    ctx: &JobContext,
    ledger: &JobLedger<'_>,
    ended: &EndedCall<'_>,
) -> Result<(), AskError> {
    if let Err(LlmError::Cancelled) = ended.result {
        return Ok(());
    }
    let job = &ctx.job;
    let mut tx = ctx.pool.begin().await?;
    let is_held = lease::lock_if_held(&mut tx, job.lease).await?;
    if let Ok(completion) = ended.result {
        // Also after the lease was lost: the answer is dropped, and its cost is not.
        let answer = Answered {
            model: &completion.model,
            usage: ended.cost.last_usage,
            tier: completion.tier,
            response_bytes: completion.response_bytes,
            limits: ended.cost.last_limits,
            duration: completion.duration,
        };
        ledger
            .succeeded(&mut tx, ended.cost.last_request, &answer)
            .await?;
    }
    if is_held {
        if let Ok(completion) = ended.result {
            let kept = serde_json::to_value(completion)
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
            llm_checkpoints::insert(&mut tx, job.tenant, ledger.key, &kept).await?;
            if let Some(hash) = ledger.cache {
                llm_answers::put(&mut tx, job.tenant, hash, &kept).await?;
            }
        }
        audit_call(&mut tx, ctx, ledger, ended).await?;
    }
    tx.commit().await?;
    if is_held {
        Ok(())
    } else {
        Err(AskError::LeaseLost)
    }
}

async fn audit_call(
    conn: &mut PgConnection,
    ctx: &JobContext,
    ledger: &JobLedger<'_>,
    ended: &EndedCall<'_>,
) -> Result<(), sqlx::Error> {
    let completion = ended.result.ok();
    let CallCost {
        usage, duration, ..
    } = ended.cost;
    let model = ledger.model;
    let detail = Detail::new()
        .word("step", ledger.key.step)
        .name("provider", model.provider_name())
        .name(
            "model",
            completion.map_or(model.model_name(), |completion| &completion.model),
        )
        .name("prompt_version", ended.version)
        .count("input_tokens", large(usage.input))
        .count("output_tokens", large(usage.output))
        .count(
            "duration_ms",
            i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
        );
    let mut entry = ctx
        .job
        .audit(
            AuditAction::LlmCalled,
            ResourceKind::LlmCall,
            ended.cost.last_request,
        )
        .with_detail(detail);
    if let Err(error) = ended.result {
        entry = entry.failed(error.class());
    }
    audit::insert(conn, &[entry]).await
}

/// Returns the beginning of the day, in UTC: questions that differ in the time of day only are the same.
pub(in crate::handlers) fn day_of(moment: DateTime<Utc>) -> DateTime<Utc> {
    moment.date_naive().and_time(NaiveTime::MIN).and_utc()
}

/// Adds an answer that the job used, also one from a checkpoint.
pub(in crate::handlers) fn add_usage(usage: &mut LlmUsage, completion: &Completion) {
    usage.calls += 1;
    usage.tokens += completion.usage.total();
    usage.ms += millis(completion.duration);
}

/// Completes a job's usage by what is recorded of its requests, including those of earlier attempts and failed ones, and
/// counts its cost.
///
/// # Errors
/// If the database fails.
pub(in crate::handlers) async fn usage_of_job(
    ctx: &JobContext,
    access: &ModelAccess,
    usage: LlmUsage,
) -> Result<LlmUsage, sqlx::Error> {
    let mut conn = ctx.pool.acquire().await?;
    let cost = llm_usage::of_job(&mut conn, ctx.job.tenant, ctx.job.lease.job).await?;
    let usage = LlmUsage {
        calls: u32::try_from(cost.requests).unwrap_or(u32::MAX),
        tokens: u64::try_from(cost.tokens).unwrap_or(0),
        cost_micros: cost.micros.and_then(|micros| u64::try_from(micros).ok()),
        ms: usage.ms,
        provider: cost.provider,
        model: cost.model,
    };
    access.spend.answered(&ctx.job.kind, &usage);
    Ok(usage)
}

fn small(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn large(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
