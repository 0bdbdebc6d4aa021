//! Executes one allowed action through the ledger: [`execute`].

use super::{
    load::RequestedAction,
    outcomes::{duplicate, ledger_failure, refused, succeeded},
    remote::{NOT_DONE, execute_remote},
    repeat::{key_after_undone, key_of_repeat},
};
use crate::effects::{ActionContext, Effect, LocalEffect, ProviderContext, effect_of};
use crate::handlers::unavailable;
use crate::providers::Providers;
use async_trait::async_trait;
use jobs::{
    commands::effects::local::{Change, Done, Performed, Refusal, perform, rehearse},
    domain::{
        action::{Executor, canonical_sha256},
        effect::{Identity, NewEffect, effect_key},
    },
    kinds::action::{ActionOutcome, ActionResult, Args},
};
use queue::runtime::handler::JobContext;
use queue::{Failure, FailureClass};
use serde_json::json;
use sqlx::PgConnection;

/// Executes the action or, in a dry run, rehearses it. `base` contains the known part of the outcome.
pub(super) async fn execute(
    ctx: &JobContext,
    providers: &Providers,
    args: &Args,
    action: &RequestedAction,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let mut new = new_effect(ctx, action);
    // The caller's name for an effect stands for one change, however often it is asked for.
    let can_repeat = action.external_id.is_none() && !args.dry_run;
    if can_repeat && action.kind.spec().compensable {
        new.key = key_after_undone(ctx, &new).await?;
    }
    let context = ActionContext {
        key: new.key,
        now: ctx.clock.now(),
        tenant: ctx.job.lease.tenant,
        job: ctx.job.lease.job,
        user: args.user,
        api_key: args.api_key,
        kind: action.kind,
        params: &action.params,
        message: action.message,
        approval: action.approval,
        request_id: ctx.job.request_id.as_deref(),
        traceparent: ctx.job.traceparent.as_deref(),
    };
    match effect_of(action.kind.executor(&action.params)) {
        Effect::Local(effect) => {
            let change = BoundEffect {
                effect,
                action: context,
            };
            if args.dry_run {
                let rehearsed = rehearse(&ctx.pool, &change).await;
                return rehearsal(base, rehearsed);
            }
            let performed = perform(&ctx.pool, &ctx.job, &new, &change)
                .await
                .map_err(ledger_failure)?;
            Ok(match performed {
                Performed::Done(id, done) => succeeded(base, id, Some(done.receipt)),
                Performed::Refused { id, code, message } => refused(base, Some(id), code, &message),
                Performed::Duplicate(found) => duplicate(ctx, base, &new, &found),
            })
        }
        Effect::Remote(effect) => {
            // Their change can be found at the provider later on.
            let is_lasting = matches!(
                action.kind.spec().executor,
                Executor::Mailbox(_) | Executor::CalendarEvent
            );
            let (new, context) = if is_lasting && can_repeat {
                let provider = ProviderContext::new(ctx, providers);
                let key = match key_of_repeat(&provider, effect, &new).await {
                    Ok(key) => key,
                    Err(failure)
                        if failure.class == FailureClass::Transient
                            && ctx.job.is_last_attempt() =>
                    {
                        return Ok(refused(base, None, failure.code, NOT_DONE));
                    }
                    Err(failure) => return Err(failure),
                };
                (NewEffect { key, ..new }, ActionContext { key, ..context })
            } else {
                (new, context)
            };
            execute_remote(ctx, providers, args.dry_run, (context, effect), new, base).await
        }
    }
}

/// A local effect with its action.
struct BoundEffect<'a> {
    effect: &'static dyn LocalEffect,
    action: ActionContext<'a>,
}

#[async_trait]
impl Change for BoundEffect<'_> {
    async fn apply(&self, conn: &mut PgConnection) -> Result<Done, Refusal> {
        self.effect.apply(conn, &self.action).await
    }
}

/// Builds the effect. Its key derives from tenant, type, email and parameters, or from the caller's `external_id`.
fn new_effect(ctx: &JobContext, action: &RequestedAction) -> NewEffect {
    let payload = action.params.as_json();
    let target = action
        .message
        .map_or_else(|| "-".to_owned(), |message| message.to_string());
    let identity = match &action.external_id {
        Some(id) => Identity::External(id),
        None => Identity::Payload(&payload),
    };
    NewEffect {
        key: effect_key(ctx.job.lease.tenant, action.kind, &target, identity),
        kind: action.kind,
        message: action.message,
        payload_hash: canonical_sha256(&json!([action.message, payload])),
        connection: None,
        rendered: None,
        message_id: None,
        approval: action.approval,
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
