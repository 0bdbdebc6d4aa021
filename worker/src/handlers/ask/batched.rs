//! Hands questions that can wait to a batch, [`hand_in`], and stores what becomes of them, [`end_item`].
//!
//! A question goes into a batch at most once: one that the batch did not answer is asked by a request of its own.

use super::{
    AskError,
    access::ModelAccess,
    capture::{self, CapturedCall},
    large,
    ledger::{micros, recorded, reservation, settle_call},
    read_checkpoint, small,
};
use crate::prompts::{DRAFT, DRAFT_TASK, TRIAGE_TASK, triage_schema};
use jobs::{
    domain::{Actor, AuditAction, Detail, NewAuditEntry, ResourceKind, llm::ModelName},
    kinds::api_key_of,
    store::{
        audit,
        llm_batch_items::{self, ItemState, NewItem, StoredItem},
        llm_budgets::{self, Reservation},
        llm_calls::{self, EndedLlmCall, NewLlmCall, Spender, Unsent},
        llm_checkpoints::{self, CheckpointKey},
    },
};
use llm::{
    Call, Completion, Model, OutputSchema, ServiceTier, TokenUsage,
    batch::{BatchEnd, BatchedCall},
};
use queue::{lease, runtime::handler::JobContext};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

/// What became of a question that can wait.
#[derive(Debug)]
pub(super) enum HandedIn {
    /// A batch will answer it.
    Parked,
    /// A batch has answered it.
    Answered(Box<Completion>),
    /// It needs a request of its own.
    NotTaken,
}

/// Hands a question to the next batch of the model, unless it was in one.
///
/// # Errors
/// If the lease was lost or the database refuses.
pub(super) async fn hand_in(
    ctx: &JobContext,
    access: &ModelAccess,
    model: &Model,
    call: &Call<'_>,
    key: CheckpointKey<'_>,
) -> Result<HandedIn, AskError> {
    let job = &ctx.job;
    let mut tx = ctx.pool.begin().await?;
    if let Some(item) = llm_batch_items::find(&mut tx, job.lease.tenant, key.job, key.step).await? {
        return Ok(match item.state {
            ItemState::Waiting | ItemState::Sent => HandedIn::Parked,
            ItemState::Answered => {
                let request_hash = item.request_hash;
                let key = CheckpointKey {
                    request_hash,
                    ..key
                };
                // It answers the question as it was when it was asked, and is paid for.
                let answer = read_checkpoint(&mut tx, job.lease.tenant, key).await?;
                answer.map_or(HandedIn::NotTaken, |answer| {
                    HandedIn::Answered(Box::new(answer))
                })
            }
            ItemState::Failed => HandedIn::NotTaken,
        });
    }
    let Some((item, intent)) = model.batch_item(call) else {
        return Ok(HandedIn::NotTaken);
    };
    if !lease::lock_if_held(&mut tx, job.lease).await? {
        return Err(AskError::LeaseLost);
    }
    let reserved = reservation(access, &intent, ServiceTier::Batch);
    let row = NewLlmCall {
        id: intent.id,
        lease: job.lease,
        kind: &job.kind,
        api_key: api_key_of(&job.args),
        step: key.step,
        provider: intent.provider,
        model: intent.model,
        prompt_version: call.prompt.version(),
        prompt_sha256: key.request_hash,
        prompt_bytes: small(intent.prompt_bytes),
        tries: 1,
        reserved,
        timeout_seconds: 0.0,
    };
    llm_calls::insert_unsent(&mut tx, &row, Unsent::Batched).await?;
    let spender = Spender {
        tenant: job.lease.tenant,
        kind: &job.kind,
        api_key: row.api_key,
    };
    // A request of its own has the words for a budget that is used up.
    if llm_budgets::reserve(&mut tx, spender, reserved).await? != Reservation::Covered {
        return Ok(HandedIn::NotTaken);
    }
    let new = NewItem {
        tenant: job.lease.tenant,
        key,
        call: item.id,
        provider: intent.provider,
        model: intent.model,
        max_output_tokens: small(intent.max_output_tokens.into()),
        body: &item.body,
    };
    llm_batch_items::insert(&mut tx, &new).await?;
    let of = CapturedCall {
        tenant: new.tenant,
        job: key.job,
        step: key.step,
        call: item.id,
    };
    capture::keep(&mut tx, access, of, call, None).await?;
    tx.commit().await?;
    Ok(HandedIn::Parked)
}

/// What became of a request of a batch.
pub(crate) struct EndedRequest<'a> {
    pub(crate) asked: ModelName<'a>,
    pub(crate) item: &'a StoredItem,
    /// What the batch says of it.
    pub(crate) end: Option<BatchEnd>,
    /// What it counts as if the batch says nothing of it.
    pub(crate) missing: Missing,
    pub(crate) waited: Duration,
}

/// The outcome of a request without an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    class: &'static str,
    may_be_billed: bool,
}

impl Missing {
    pub(crate) const fn unbilled(class: &'static str) -> Self {
        Self {
            class,
            may_be_billed: false,
        }
    }

    pub(crate) const fn billed(class: &'static str) -> Self {
        Self {
            class,
            may_be_billed: true,
        }
    }
}

/// Stores what became of a request of a batch: its cost, its answer for the job, and that it has ended. In one transaction, so that
/// a crash leaves all of it to the next worker, which reads the same batch again.
pub(crate) async fn end_item(
    pool: &PgPool,
    access: &ModelAccess,
    request: EndedRequest<'_>,
) -> Result<(), sqlx::Error> {
    let EndedRequest {
        asked,
        item,
        end,
        missing,
        waited,
    } = request;
    let model = access.model(asked.provider, asked.model);
    let ended = match (end, model) {
        (Some(BatchEnd::Answered(answer)), Some(model)) => {
            let (task, schema) = question_of(&item.step);
            let call = BatchedCall {
                task,
                schema: &schema,
                max_output_tokens: u32::try_from(item.max_output_tokens).unwrap_or_default(),
                prompt_bytes: u64::try_from(item.prompt_bytes).unwrap_or_default(),
                waited,
                tenant: item.tenant,
                job: item.job,
                attempt: item.attempt,
                traceparent: item.traceparent.as_deref(),
            };
            let (completion, usage) = model.read_batched(&answer, call);
            let result = completion.map_err(|error| Missing::unbilled(error.class()));
            EndedItem { result, usage }
        }
        (Some(BatchEnd::Failed(error)), _) => {
            EndedItem::without_answer(Missing::unbilled(error.class()))
        }
        (Some(BatchEnd::Answered(_) | BatchEnd::NotDone) | None, _) => {
            EndedItem::without_answer(missing)
        }
    };
    let state = match ended.result {
        Ok(_) => ItemState::Answered,
        Err(_) => ItemState::Failed,
    };
    let mut tx = pool.begin().await?;
    if !llm_batch_items::end(&mut tx, item.call, state).await? {
        return Ok(());
    }
    if let Ok(completion) = &ended.result
        && item.is_awaited
    {
        let kept =
            serde_json::to_value(completion).map_err(|error| sqlx::Error::Encode(error.into()))?;
        llm_checkpoints::insert(&mut tx, item.tenant, item.checkpoint(), &kept).await?;
    }
    let of = CapturedCall {
        tenant: item.tenant,
        job: item.job,
        step: &item.step,
        call: item.call,
    };
    let answer = ended.result.as_ref().map_err(|missing| missing.class);
    capture::keep_answer(&mut tx, access, of, answer).await?;
    settle(&mut tx, access, asked, item, &ended, waited).await?;
    audit::insert(&mut tx, &[entry(asked, item, &ended, waited)]).await?;
    tx.commit().await
}

/// How a request of a batch ended.
struct EndedItem {
    result: Result<Completion, Missing>,
    /// Of an unusable answer too.
    usage: TokenUsage,
}

impl EndedItem {
    fn without_answer(missing: Missing) -> Self {
        Self {
            result: Err(missing),
            usage: TokenUsage::default(),
        }
    }

    fn outcome(&self) -> &'static str {
        match &self.result {
            Ok(_) => "ok",
            Err(missing) => missing.class,
        }
    }
}

/// Returns the task of a step, and the schema by which its answer is read.
fn question_of(step: &str) -> (&'static str, OutputSchema) {
    if step.starts_with(DRAFT_TASK) {
        (DRAFT_TASK, DRAFT.schema())
    } else {
        (TRIAGE_TASK, triage_schema(&[]))
    }
}

async fn settle(
    conn: &mut PgConnection,
    access: &ModelAccess,
    asked: ModelName<'_>,
    item: &StoredItem,
    ended: &EndedItem,
    waited: Duration,
) -> Result<(), sqlx::Error> {
    let price = |model: &str| {
        let provider = asked.provider;
        micros(
            access,
            ModelName { provider, model },
            ServiceTier::Batch,
            ended.usage,
        )
    };
    let answered = ended.result.as_ref().ok();
    let cost = answered.and_then(|completion| price(&completion.model));
    let row = EndedLlmCall {
        id: item.call,
        model: answered.map(|completion| completion.model.as_str()),
        response_bytes: small(answered.map_or(0, |completion| completion.response_bytes)),
        input_tokens: large(ended.usage.input),
        output_tokens: large(ended.usage.output),
        cached_tokens: large(ended.usage.cache_read),
        duration_ms: i64::try_from(waited.as_millis()).unwrap_or(i64::MAX),
        outcome: ended.outcome(),
        possibly_billed: ended
            .result
            .as_ref()
            .is_err_and(|missing| missing.may_be_billed),
        tier: recorded(ServiceTier::Batch),
        // A proxy may answer under a name of its own.
        cost_micros: cost.or_else(|| price(asked.model)),
    };
    settle_call(conn, access, asked, item.tenant, &row).await?;
    Ok(())
}

fn entry(
    asked: ModelName<'_>,
    item: &StoredItem,
    ended: &EndedItem,
    waited: Duration,
) -> NewAuditEntry {
    let answered = ended.result.as_ref().ok();
    let name = answered.map_or(asked.model, |completion| &completion.model);
    let detail = Detail::new()
        .name("step", &item.step)
        .name("provider", asked.provider)
        .name("model", name)
        .name("prompt_version", &item.prompt_version)
        .count("input_tokens", large(ended.usage.input))
        .count("output_tokens", large(ended.usage.output))
        .count(
            "duration_ms",
            i64::try_from(waited.as_millis()).unwrap_or(i64::MAX),
        );
    let (action, kind) = (AuditAction::LlmCalled, ResourceKind::LlmCall);
    let entry = NewAuditEntry::new(item.tenant, Actor::System, action, kind, item.call)
        .with_attempt(item.job, item.attempt)
        .with_detail(detail);
    match &ended.result {
        Ok(_) => entry,
        Err(missing) => entry.failed(missing.class),
    }
}
