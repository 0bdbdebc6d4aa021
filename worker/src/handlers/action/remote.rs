//! One effect that leaves the house: intent, in flight, end, each committed before the next step. What may have been done is
//! never done again; see `jobs::commands::effect_ledger`.

use super::carry_out::{duplicate, ledger, refused, succeeded};
use crate::effects::{Doing, Prepared, Remote, Trouble, mail};
use crate::handler::JobContext;
use crate::handlers::unavailable;
use crate::providers::{ProviderError, Providers};
use chrono::TimeDelta;
use jobs::{
    commands::effect_ledger::{
        Reserved, end,
        reconcile::{Finding, settle_unknown},
        reserve,
        sending::{Sending, begin_sending},
    },
    domain::{
        EffectId,
        effect::{EffectEnd, EffectStatus, NewEffect},
    },
    kinds::action::{ActionError, ActionOutcome, ActionResult},
    queue::Failure,
};
use serde_json::json;

/// How long a job waits for a new secret before it looks again. Waiting burns no attempt.
const REAUTH_WAIT: TimeDelta = TimeDelta::seconds(30);

const UNKNOWN: &str = "It may have been sent: the connection broke before the answer came. Look into your sent mail, then \
                       say with POST /v1/effects/{id}/resolve what you found.";

pub(super) async fn carry_out(
    ctx: &JobContext,
    providers: &Providers,
    dry_run: bool,
    (doing, effect): (Doing<'_>, &'static dyn Remote),
    new: NewEffect,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let prepared = match effect.prepare(ctx, &doing).await {
        Ok(prepared) => prepared,
        Err(Trouble::Refused { code, message }) => return Ok(refused(base, None, code, &message)),
        Err(Trouble::Database(error)) => return Err(unavailable(&error)),
    };
    if dry_run {
        return Ok(ActionOutcome {
            result: ActionResult::Simulated,
            receipt: Some(json!({ "would": prepared.would })),
            ..base
        });
    }
    let new = NewEffect {
        rendered: Some(prepared.rendered.clone()),
        message_id: Some(prepared.message_id.clone()),
        ..new
    };
    match reserve(&ctx.pool, &ctx.job, &new).await.map_err(ledger)? {
        Reserved::Intended(id) => launch(ctx, providers, id, &prepared, base).await,
        Reserved::Duplicate(found)
            if found.status == EffectStatus::Unknown && found.job == ctx.job.lease.job =>
        {
            ask_a_person(ctx, found.id, base).await
        }
        Reserved::Duplicate(found) => Ok(duplicate(ctx, base, &new, &found)),
    }
}

async fn launch(
    ctx: &JobContext,
    providers: &Providers,
    id: EffectId,
    prepared: &Prepared,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let connection = &prepared.connection;
    let begun = begin_sending(&ctx.pool, &ctx.job, id, connection.id)
        .await
        .map_err(ledger)?;
    let packed = match begun {
        Sending::Go(packed) => packed,
        Sending::Wait { until, code } => {
            return Err(Failure::rate_limited(
                until,
                code,
                "Nothing may be sent at the moment; the job goes on by itself.",
                "held back before it was begun",
            ));
        }
        Sending::ConnectionGone => {
            return Ok(refused(
                base,
                Some(id),
                "connection_revoked",
                "The mail account was disconnected.",
            ));
        }
    };
    let sent = mail::send(ctx, providers, connection, packed).await;
    let ended = |outcome: EffectEnd| async move {
        end(&ctx.pool, &ctx.job, id, &outcome).await.map_err(ledger)
    };
    match sent {
        Ok(receipt) => {
            let outcome = EffectEnd::Succeeded {
                receipt: receipt.clone(),
                before_image: None,
            };
            ended(outcome).await?;
            Ok(succeeded(base, id, Some(receipt)))
        }
        Err(ProviderError::Permanent { code, message }) => {
            ended(EffectEnd::FailedPermanent { code }).await?;
            Ok(refused(base, Some(id), code, &message))
        }
        Err(ProviderError::Retryable { code, detail }) => {
            ended(EffectEnd::Retryable { code }).await?;
            if ctx.job.is_last_attempt() {
                let message = "It could not be done, however often it was tried. Nothing was sent.";
                return Ok(refused(base, Some(id), code, message));
            }
            Err(Failure::transient(
                code,
                "The mail server could not take it; the job will be tried again.",
                detail,
            ))
        }
        Err(ProviderError::Unknown { code, detail }) => {
            tracing::warn!(effect.id = %id, code, detail, "it may have been sent");
            ended(EffectEnd::Unknown { code }).await?;
            ask_a_person(ctx, id, base).await
        }
        Err(ProviderError::Reauth { code }) => {
            ended(EffectEnd::Retryable { code }).await?;
            Err(Failure::rate_limited(
                ctx.clock.now() + REAUTH_WAIT,
                "reauth_required",
                "The mail account asks for its password again; the job goes on when it has it.",
                code,
            ))
        }
        Err(ProviderError::RateLimited { until }) => {
            let code = "provider_rate";
            ended(EffectEnd::Retryable { code }).await?;
            Err(Failure::rate_limited(
                until,
                code,
                "The provider asks for a pause; the job goes on by itself.",
                "rate limited by the provider",
            ))
        }
    }
}

/// SMTP has nobody to ask.
async fn ask_a_person(
    ctx: &JobContext,
    id: EffectId,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    settle_unknown(&ctx.pool, &ctx.job, id, Finding::CannotSay)
        .await
        .map_err(ledger)?;
    Ok(ActionOutcome {
        result: ActionResult::Unknown,
        effect_id: Some(id),
        error: Some(ActionError {
            code: "outcome_unknown".into(),
            message: UNKNOWN.replace("{id}", &id.to_string()),
        }),
        ..base
    })
}
