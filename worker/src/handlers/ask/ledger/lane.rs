//! Records what a failed request says about its provider: [`record`].

use crate::handlers::model_failure::{
    effects::{Subject, lane_effect},
    subject,
};
use base::{JobId, TenantId};
use jobs::{
    domain::llm::{LaneEffect, LanePolicy, ModelName},
    store::llm_lanes,
};
use llm::{LlmError, ServiceTier, ledger::FailedRequest};
use sqlx::PgConnection;

/// Records the failure in its lane. Returns the outcome of the request's row.
pub(super) async fn record(
    conn: &mut PgConnection,
    of: (TenantId, JobId),
    failed: &FailedRequest<'_>,
    policy: LanePolicy,
) -> Result<&'static str, sqlx::Error> {
    let lane = ModelName {
        provider: failed.provider,
        model: failed.model,
    };
    let subject = subject::of(&mut *conn, of, lane, failed.error).await?;
    // Before the lane changes: whether it has closed since an earlier request is part of it.
    let outcome = subject::outcome(&mut *conn, of, lane, failed.error).await?;
    let effect = effect_of(failed, subject);
    llm_lanes::record_failure(&mut *conn, lane, failed.error.class(), effect, policy).await?;
    if effect == LaneEffect::Nothing {
        if is_answer(failed) {
            llm_lanes::record_success(conn, lane, failed.id).await?;
        } else {
            llm_lanes::release_probe(conn, lane, failed.id).await?;
        }
    }
    Ok(outcome)
}

fn effect_of(failed: &FailedRequest<'_>, subject: Subject) -> LaneEffect {
    // The answer took too long for a request that the provider may answer slowly: that says nothing about its lane.
    if failed.tier == ServiceTier::Flex && matches!(failed.error, LlmError::Timeout { .. }) {
        return LaneEffect::Nothing;
    }
    let is_billed = failed.usage.unwrap_or_default().total() > 0;
    lane_effect(failed.error, is_billed, subject)
}

/// Whether the model was there, and only this question has no answer.
///
/// Not if it rejected the request, even if that is the job's fault: a key that is rejected for all is rejected for this job too.
fn is_answer(failed: &FailedRequest<'_>) -> bool {
    let is_about_the_question = matches!(
        failed.error,
        LlmError::Refused { .. }
            | LlmError::Truncated { .. }
            | LlmError::InvalidReply { .. }
            | LlmError::ReplyTooLarge { .. }
            | LlmError::InvalidOutput { .. }
    );
    failed.status.is_some() && is_about_the_question
}
