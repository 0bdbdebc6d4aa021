//! Outcomes of actions, which local and remote execution share: [`succeeded`], [`refused`], [`duplicate`].

use crate::handlers::unavailable;
use base::telemetry::chain;
use jobs::{
    commands::effects::LedgerError,
    domain::{
        EffectId,
        effect::{EffectStatus, NewEffect},
    },
    kinds::action::{ActionError, ActionOutcome, ActionResult},
    store::effects::StoredEffect,
};
use queue::{Failure, runtime::handler::JobContext};
use serde_json::Value;

/// Returns the outcome if the ledger has an effect with this key already.
pub(super) fn duplicate(
    ctx: &JobContext,
    base: ActionOutcome,
    new: &NewEffect,
    found: &StoredEffect,
) -> ActionOutcome {
    let is_ours = found.job == ctx.job.lease.job;
    if found
        .payload_hash
        .as_ref()
        .is_some_and(|hash| hash[..] != new.payload_hash)
    {
        return refused(
            base,
            Some(found.id),
            "external_id_reused",
            "This external_id was already used for another action.",
        );
    }
    let result = match found.status {
        EffectStatus::Succeeded | EffectStatus::Bounced if is_ours => ActionResult::Succeeded,
        EffectStatus::Succeeded
        | EffectStatus::Bounced
        | EffectStatus::Compensating
        | EffectStatus::Compensated
        | EffectStatus::CompensationFailed => ActionResult::SkippedDuplicate,
        EffectStatus::Intent | EffectStatus::InFlight | EffectStatus::Retryable => {
            ActionResult::InProgress
        }
        EffectStatus::Unknown | EffectStatus::Reconciling | EffectStatus::NeedsHuman => {
            ActionResult::Unknown
        }
        EffectStatus::FailedPermanent => ActionResult::Failed,
    };
    let error = sent_before(result, &base, found);
    ActionOutcome {
        result,
        effect_id: Some(found.id),
        receipt: found.receipt.clone(),
        error,
        ..base
    }
}

/// Says that another job sent the same email: a person who approves it a week later means to send it, and must learn that
/// it did not go out again.
fn sent_before(
    result: ActionResult,
    base: &ActionOutcome,
    found: &StoredEffect,
) -> Option<ActionError> {
    let is_other = found.approval.is_none() || found.approval != base.approval_id;
    let is_repeat = result == ActionResult::SkippedDuplicate && is_other;
    if is_repeat && found.status == EffectStatus::Bounced {
        return Some(ActionError {
            code: "bounced_before".into(),
            message: "The same email was sent before and came back; it was not sent again. Correct its recipients, or give \
                      the action an `external_id` of its own, to send it once more."
                .into(),
        });
    }
    (is_repeat && base.r#type.spec().executor.is_message()).then(|| ActionError {
        code: "sent_before".into(),
        message: format!(
            "The same email was sent on {}; it was not sent again. Change its text, or give the action an `external_id` of \
             its own, to send it once more.",
            found.updated_at.format("%Y-%m-%d at %H:%M UTC")
        ),
    })
}

pub(super) fn succeeded(
    base: ActionOutcome,
    id: EffectId,
    receipt: Option<Value>,
) -> ActionOutcome {
    ActionOutcome {
        result: ActionResult::Succeeded,
        effect_id: Some(id),
        receipt,
        ..base
    }
}

pub(super) fn refused(
    base: ActionOutcome,
    id: Option<EffectId>,
    code: &str,
    message: &str,
) -> ActionOutcome {
    ActionOutcome {
        result: ActionResult::Failed,
        effect_id: id,
        error: Some(ActionError {
            code: code.to_owned(),
            message: message.to_owned(),
        }),
        ..base
    }
}

/// Converts an error of the ledger into a failure of the job.
pub(super) fn ledger_failure(error: LedgerError) -> Failure {
    match error {
        LedgerError::NotHeld => Failure::interrupted(),
        LedgerError::Database(error) => unavailable(&error),
        LedgerError::Refused(error) => Failure::transient(
            "internal_error",
            "Something went wrong on our side; the job will be retried.",
            chain(&error),
        ),
    }
}
