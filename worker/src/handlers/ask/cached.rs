//! Uses an answer again that the tenant got for the same question, if the tenant wants so: [`reuse`].
//!
//! A question is the same on the same day, whatever the time: the first model of the route, the prompt, the schema and the limit.

use super::{AskError, small};
use jobs::{
    kinds::api_key_of,
    store::{
        llm_answers,
        llm_calls::{self, Amount, NewLlmCall, Unsent},
        llm_checkpoints::{self, CheckpointKey},
    },
};
use llm::{Call, Completion, Model};
use queue::{lease, runtime::handler::JobContext};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What the cache has for a question.
pub(super) enum Cached {
    Answer(Box<Completion>),
    /// The answer to come is stored under this hash.
    Missing([u8; 32]),
    /// The tenant wants no answer to be used again.
    Off,
}

/// Looks for an answer of before, and records that it is used.
///
/// # Errors
/// If the lease was lost or the database refuses.
pub(super) async fn reuse(
    ctx: &JobContext,
    model: &Model,
    call: &Call<'_>,
    key: CheckpointKey<'_>,
    same_today: [u8; 32],
) -> Result<Cached, AskError> {
    let job = &ctx.job;
    let question_hash = hash(same_today, model, call);
    let mut tx = ctx.pool.begin().await?;
    let found = llm_answers::find(&mut tx, job.lease.tenant, question_hash).await?;
    if !found.is_on {
        return Ok(Cached::Off);
    }
    let kept = found.completion;
    let parsed = kept.and_then(|kept| Some((serde_json::from_value(kept.clone()).ok()?, kept)));
    let Some((completion, kept)): Option<(Completion, _)> = parsed else {
        return Ok(Cached::Missing(question_hash));
    };
    if !lease::lock_if_held(&mut tx, job.lease).await? {
        return Err(AskError::LeaseLost);
    }
    let row = NewLlmCall {
        id: Uuid::now_v7(),
        lease: job.lease,
        kind: &job.kind,
        api_key: api_key_of(&job.args),
        step: key.step,
        provider: model.provider_name(),
        model: &completion.model,
        prompt_version: call.prompt.version(),
        prompt_sha256: key.request_hash,
        prompt_bytes: small(completion.prompt_bytes),
        tries: 0,
        reserved: Amount::default(),
        timeout_seconds: 0.0,
    };
    llm_calls::insert_unsent(&mut tx, &row, Unsent::Cached).await?;
    // So that the attempts to come find the same answer, however old it is then.
    llm_checkpoints::insert(&mut tx, job.lease.tenant, key, &kept).await?;
    tx.commit().await?;
    Ok(Cached::Answer(Box::new(completion)))
}

fn hash(same_today: [u8; 32], model: &Model, call: &Call<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(same_today);
    let limit = call.max_output_tokens.to_string();
    for text in [
        model.provider_name(),
        model.model_name(),
        call.schema.json(),
        &limit,
    ] {
        // With lengths, so that text moved from one part to the next changes the hash.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}
