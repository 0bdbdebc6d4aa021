//! Calls the model and never pays for the same answer twice: [`ask`].
//!
//! A model that is unavailable or refused by its budget is followed by its fallbacks in the same attempt. The first model is asked
//! first by every job, so that its probe is a job of its own. A question that can wait goes into a batch first ([`batched`]).
//!
//! [`ledger`] records each request before it is sent. The answer is stored before it is used ([`record`]), and the next attempt of
//! a crashed job finds it.

mod access;
mod batched;
mod cached;
mod capture;
mod forget;
mod ledger;
mod metrics;
mod record;
mod recorded;
mod usage;

pub use access::ModelAccess;
pub(crate) use batched::{EndedRequest, Missing, end_item};
pub(in crate::handlers) use forget::forget_answers;
pub use metrics::SpendMetrics;
pub use recorded::{RecordedAnswer, RecordedAnswers, ReplayedAnswer, ReplayedStep};
pub(in crate::handlers) use usage::{add_usage, usage_of_job};

use crate::handlers::model_failure::effects::passes_on;
use base::{TenantId, db, hex};
use batched::HandedIn;
use cached::Cached;
use chrono::{DateTime, NaiveTime, Utc};
use jobs::{
    domain::llm::urgency::Urgency,
    store::llm_checkpoints::{self, CheckpointKey},
};
use ledger::JobLedger;
use llm::{Call, Completion, LlmError, Model, OutputSchema, Prompt, ServiceTier};
use queue::runtime::handler::JobContext;
use record::{EndedCall, record_call, write_exchange};
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
        tenant: job.lease.tenant,
        job: job.lease.job,
        attempt: job.lease.attempt,
        cancelled: &ctx.cancelled,
    };
    let route = access.models.route(job.lease.tenant, call.task);
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
        call,
        result: result.as_ref(),
    };
    if let Some(recorder) = &ledger.access.recorder {
        write_exchange(recorder, call, ledger, ended.result).await;
    }
    if cost.tries > 0 {
        // Kept while the database refuses it, or the same answer would be bought again.
        let write = || record_call(ctx, ledger, &ended);
        ctx.store(write, AskError::is_transient).await?;
    }
    Ok(result.map_err(|error| FailedCall {
        provider: model.provider_name().to_owned(),
        model: model.model_name().to_owned(),
        is_billed: cost.last_usage.total() > 0,
        error,
    }))
}

/// Reads the answer of an earlier attempt.
async fn stored_answer(
    ctx: &JobContext,
    key: CheckpointKey<'_>,
) -> Result<Option<Completion>, AskError> {
    let mut conn = ctx.pool.acquire().await?;
    Ok(read_checkpoint(&mut conn, ctx.job.lease.tenant, key).await?)
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

/// Returns the beginning of the day, in UTC: questions that differ in the time of day only are the same.
pub(in crate::handlers) fn day_of(moment: DateTime<Utc>) -> DateTime<Utc> {
    moment.date_naive().and_time(NaiveTime::MIN).and_utc()
}

fn small(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn large(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
