//! What a job used of models: [`add_usage`], [`usage_of_job`].

use super::ModelAccess;
use base::telemetry::millis;
use jobs::{kinds::triage::LlmUsage, store::llm_usage};
use llm::Completion;
use queue::runtime::handler::JobContext;

/// Adds an answer that the job used, also one from a checkpoint.
pub(in crate::handlers) fn add_usage(usage: &mut LlmUsage, completion: &Completion) {
    usage.calls += 1;
    usage.tokens += completion.usage.total();
    usage.ms += millis(completion.duration);
}

/// Completes a job's usage by what is recorded of its requests, including those of earlier attempts and failed ones, and
/// counts its cost.
pub(in crate::handlers) async fn usage_of_job(
    ctx: &JobContext,
    access: &ModelAccess,
    usage: LlmUsage,
) -> Result<LlmUsage, sqlx::Error> {
    let mut conn = ctx.pool.acquire().await?;
    let cost = llm_usage::of_job(&mut conn, ctx.job.lease.tenant, ctx.job.lease.job).await?;
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
