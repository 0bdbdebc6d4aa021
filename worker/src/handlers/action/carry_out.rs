//! One allowed action, by way of the ledger: [`carry_out`].

use super::{load::Wanted, remote};
use crate::effects::{Doing, LocalEffect, Way, way_of};
use crate::handlers::unavailable;
use crate::providers::Providers;
use async_trait::async_trait;
use base::telemetry::chain;
use jobs::{
    commands::effects::{
        LedgerError,
        local::{Change, Done, Performed, Refusal, perform, rehearse},
    },
    domain::{
        EffectId,
        action::canonical_sha256,
        effect::{EffectStatus, Identity, NewEffect, effect_key},
    },
    kinds::action::{ActionError, ActionOutcome, ActionResult, Args},
    store::effects::StoredEffect,
};
use queue::Failure;
use queue::runtime::handler::JobContext;
use serde_json::{Value, json};
use sqlx::PgConnection;

/// Does it, or says what would happen; `base` is what is known of the outcome.
pub(super) async fn carry_out(
    ctx: &JobContext,
    providers: &Providers,
    args: &Args,
    action: &Wanted,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let new = new_effect(ctx, action);
    let doing = Doing {
        key: new.key,
        now: ctx.clock.now(),
        tenant: ctx.job.tenant,
        job: ctx.job.lease.job,
        user: args.user,
        kind: action.kind,
        params: &action.params,
        message: action.message,
        approval: action.approval,
        request_id: ctx.job.request_id.as_deref(),
        traceparent: ctx.job.traceparent.as_deref(),
    };
    match way_of(action.kind.executor(&action.params)) {
        Way::Local(effect) => {
            let change = Bound { effect, doing };
            if args.dry_run {
                let rehearsed = rehearse(&ctx.pool, &change).await;
                return rehearsal(base, rehearsed);
            }
            let performed = perform(&ctx.pool, &ctx.job, &new, &change)
                .await
                .map_err(ledger)?;
            Ok(match performed {
                Performed::Done(id, done) => succeeded(base, id, Some(done.receipt)),
                Performed::Refused { id, code, message } => refused(base, Some(id), code, &message),
                Performed::Duplicate(found) => duplicate(ctx, base, &new, &found),
            })
        }
        Way::Remote(effect) => {
            remote::carry_out(ctx, providers, args.dry_run, (doing, effect), new, base).await
        }
    }
}

/// An effect with what it is to be done to.
struct Bound<'a> {
    effect: &'static dyn LocalEffect,
    doing: Doing<'a>,
}

#[async_trait]
impl Change for Bound<'_> {
    async fn apply(&self, conn: &mut PgConnection) -> Result<Done, Refusal> {
        self.effect.apply(conn, &self.doing).await
    }
}

/// The name of the effect is made of what our code knows: tenant, type, mail and parameters, or the caller's own name.
fn new_effect(ctx: &JobContext, action: &Wanted) -> NewEffect {
    let payload = action.params.as_json();
    let target = action
        .message
        .map_or_else(|| "-".to_owned(), |message| message.to_string());
    let identity = match &action.external_id {
        Some(id) => Identity::External(id),
        None => Identity::Payload(&payload),
    };
    NewEffect {
        key: effect_key(ctx.job.tenant, action.kind, &target, identity),
        kind: action.kind,
        message: action.message,
        payload_hash: canonical_sha256(&json!([action.message, payload])),
        rendered: None,
        message_id: None,
        approval: action.approval,
    }
}

/// What the ledger's row of the same name means for this job.
pub(super) fn duplicate(
    ctx: &JobContext,
    base: ActionOutcome,
    new: &NewEffect,
    found: &StoredEffect,
) -> ActionOutcome {
    let ours = found.job == ctx.job.lease.job;
    if found
        .payload_hash
        .as_ref()
        .is_some_and(|hash| hash[..] != new.payload_hash)
    {
        return refused(
            base,
            Some(found.id),
            "external_id_reused",
            "This external_id was used for something else.",
        );
    }
    let result = match found.status {
        EffectStatus::Succeeded if ours => ActionResult::Succeeded,
        EffectStatus::Succeeded
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
    ActionOutcome {
        result,
        effect_id: Some(found.id),
        receipt: found.receipt.clone(),
        ..base
    }
}

fn rehearsal(
    base: ActionOutcome,
    rehearsed: Result<Done, Refusal>,
) -> Result<ActionOutcome, Failure> {
    match rehearsed {
        Ok(done) => Ok(ActionOutcome {
            result: ActionResult::Simulated,
            receipt: Some(json!({ "would": done.receipt })),
            ..base
        }),
        Err(Refusal::Refused { code, message }) => Ok(refused(base, None, code, &message)),
        Err(Refusal::Database(error)) => Err(unavailable(&error)),
    }
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

/// The ledger's refusal, for both audiences.
pub(super) fn ledger(error: LedgerError) -> Failure {
    match error {
        LedgerError::NotHeld => Failure::interrupted(),
        LedgerError::Database(error) => unavailable(&error),
        LedgerError::Refused(refused) => Failure::transient(
            "internal_error",
            "Something went wrong on our side; the job will be tried again.",
            chain(&refused),
        ),
    }
}
