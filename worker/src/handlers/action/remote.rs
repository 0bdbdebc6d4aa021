//! One effect that leaves the house: intent, in flight, end, each committed before the next step. What may have been done is
//! asked after and never blindly done again; see `jobs::commands::effects`.

use super::carry_out::{duplicate, ledger, refused, succeeded};
use super::halt::halt;
use crate::effects::{Doing, Far, Found, Prepared, Receipt, Remote, Trouble};
use crate::handlers::unavailable;
use crate::providers::{ProviderError, Providers};
use chrono::TimeDelta;
use jobs::{
    commands::effects::{
        Reserved, end,
        reconcile::{Finding, settle_unknown},
        reserve,
        sending::{Sending, begin_sending},
    },
    domain::{
        EffectId,
        effect::{EffectEnd, EffectStatus, NewEffect, UnknownSends},
    },
    kinds::action::{ActionError, ActionOutcome, ActionResult},
    store::{
        connections,
        effects::{self, StoredEffect},
        tenants,
    },
};
use queue::Failure;
use queue::runtime::handler::JobContext;
use serde_json::json;

/// How long a provider has for showing a mail before it is sent again.
const RESEND_AFTER: TimeDelta = TimeDelta::seconds(60);

const UNKNOWN: &str = "It may have been done: the connection broke before the answer came. Look what the provider has (a sent \
                       mail is among the sent ones), then say with POST /v1/effects/{id}/resolve what you found.";
const NOT_DONE: &str = "It could not be done, however often it was tried. Nothing was done.";

pub(super) async fn carry_out(
    ctx: &JobContext,
    providers: &Providers,
    dry_run: bool,
    (doing, effect): (Doing<'_>, &'static dyn Remote),
    new: NewEffect,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let far = Far { ctx, providers };
    let known = effects::status_of_key(&ctx.pool, ctx.job.tenant, &new.key)
        .await
        .map_err(|error| unavailable(&error))?;
    let prepared = if dry_run || known.is_none_or(may_begin) {
        match effect.prepare(&far, &doing).await {
            Ok(prepared) => Some(prepared),
            Err(Trouble::Refused { code, message }) => {
                return Ok(refused(base, None, code, &message));
            }
            Err(Trouble::Provider { connection, source }) => {
                let (code, message) = halt(ctx, &connection, source).await?;
                return Ok(refused(base, None, code, &message));
            }
            Err(Trouble::Database(error)) => return Err(unavailable(&error)),
        }
    } else {
        // What may have been done has changed the world: it would not be found where it was.
        None
    };
    if let (true, Some(prepared)) = (dry_run, &prepared) {
        return Ok(ActionOutcome {
            result: ActionResult::Simulated,
            receipt: Some(json!({ "would": prepared.would })),
            ..base
        });
    }
    let new = NewEffect {
        rendered: prepared.as_ref().map(|found| found.rendered.clone()),
        message_id: prepared.as_ref().and_then(|found| found.message_id.clone()),
        ..new
    };
    let reserved = reserve(&ctx.pool, &ctx.job, &new).await.map_err(ledger)?;
    match (reserved, prepared) {
        (Reserved::Intended(id), Some(prepared)) => launch(&far, effect, id, &prepared, base).await,
        (Reserved::Intended(_), None) => Err(Failure::transient(
            "effect_free_again",
            "What was under way elsewhere was not done; the job will be tried again.",
            "the key became free between two looks",
        )),
        (Reserved::Duplicate(found), _)
            if found.status == EffectStatus::Unknown && found.job == ctx.job.lease.job =>
        {
            ask(&far, effect, &found, base).await
        }
        (Reserved::Duplicate(found), _) => Ok(duplicate(ctx, base, &new, &found)),
    }
}

/// Whether [`reserve`] may give it out to be begun.
const fn may_begin(status: EffectStatus) -> bool {
    matches!(
        status,
        EffectStatus::Intent | EffectStatus::Retryable | EffectStatus::FailedPermanent
    )
}

async fn launch(
    far: &Far<'_>,
    effect: &'static dyn Remote,
    id: EffectId,
    prepared: &Prepared,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let (ctx, connection) = (far.ctx, &prepared.connection);
    let begun = begin_sending(&ctx.pool, &ctx.job, (id, base.r#type), connection.id)
        .await
        .map_err(ledger)?;
    let rendered = match begun {
        Sending::Go(rendered) => rendered,
        Sending::Wait { until, code } => {
            return Err(Failure::rate_limited(
                until,
                code,
                "Nothing may be sent at the moment; the job goes on by itself.",
                "held back before it was begun",
            ));
        }
        Sending::ConnectionGone => {
            let message = "The account was disconnected.";
            return Ok(refused(base, Some(id), "connection_revoked", message));
        }
    };
    let ended = |outcome: EffectEnd| async move {
        end(&ctx.pool, &ctx.job, id, &outcome).await.map_err(ledger)
    };
    match effect.perform(far, connection, rendered).await {
        Ok(Receipt {
            receipt,
            before_image,
        }) => {
            let shown = Some(receipt.clone());
            ended(EffectEnd::Succeeded {
                receipt,
                before_image,
            })
            .await?;
            Ok(succeeded(base, id, shown))
        }
        Err(ProviderError::Permanent { code, message }) => {
            ended(EffectEnd::FailedPermanent { code }).await?;
            Ok(refused(base, Some(id), code, &message))
        }
        Err(ProviderError::Unknown { code, detail }) => {
            tracing::warn!(effect.id = %id, code, detail, "it may have been done");
            ended(EffectEnd::Unknown { code }).await?;
            let found = again(ctx, id).await?;
            ask(far, effect, &found, base).await
        }
        Err(error) => {
            let code = error.code();
            ended(EffectEnd::Retryable { code }).await?;
            if matches!(error, ProviderError::Retryable { .. }) && ctx.job.is_last_attempt() {
                return Ok(refused(base, Some(id), code, NOT_DONE));
            }
            let (code, message) = halt(ctx, connection, error).await?;
            Ok(refused(base, Some(id), code, &message))
        }
    }
}

/// The effect as the ledger has it now.
async fn again(ctx: &JobContext, id: EffectId) -> Result<StoredEffect, Failure> {
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        effects::find(&mut conn, ctx.job.tenant, id)
            .await?
            .ok_or(sqlx::Error::RowNotFound)
    };
    read.await.map_err(|error| unavailable(&error))
}

/// Asks the other side what became of it; if that cannot say, a person is asked.
async fn ask(
    far: &Far<'_>,
    effect: &'static dyn Remote,
    unknown: &StoredEffect,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let ctx = far.ctx;
    let found = match look(far, effect, unknown).await {
        Ok(found) => found,
        Err(failure) if !ctx.job.is_last_attempt() => return Err(failure),
        Err(_) => Found::CannotSay,
    };
    let found = match found {
        Found::CannotSay if base.r#type.spec().executor.is_message() => {
            by_policy(ctx, unknown).await?
        }
        found => found,
    };
    let id = unknown.id;
    let finding = match &found {
        Found::Done(known) => Finding::Done {
            receipt: known.receipt.clone(),
            before_image: known.before_image.clone(),
        },
        Found::NotDone => Finding::NotDone,
        Found::CannotSay => Finding::CannotSay,
    };
    settle_unknown(&ctx.pool, &ctx.job, id, &finding)
        .await
        .map_err(ledger)?;
    match found {
        Found::Done(known) => Ok(succeeded(base, id, Some(known.receipt))),
        Found::NotDone if ctx.job.is_last_attempt() => {
            Ok(refused(base, Some(id), "not_done", NOT_DONE))
        }
        Found::NotDone => Err(Failure::transient(
            "not_done",
            "The connection broke before it was done; the job will be tried again.",
            "the other side does not have it",
        )),
        Found::CannotSay => Ok(ActionOutcome {
            result: ActionResult::Unknown,
            effect_id: Some(id),
            error: Some(ActionError {
                code: "outcome_unknown".into(),
                message: UNKNOWN.replace("{id}", &id.to_string()),
            }),
            ..base
        }),
    }
}

/// What the tenant wants done about a mail of which nobody can say whether it was sent.
async fn by_policy(ctx: &JobContext, unknown: &StoredEffect) -> Result<Found, Failure> {
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        tenants::settings(&mut conn, ctx.job.tenant).await
    };
    let settings = read.await.map_err(|error| unavailable(&error))?;
    let patience_ends = unknown.updated_at + RESEND_AFTER;
    match settings.unknown_sends {
        UnknownSends::Ask => Ok(Found::CannotSay),
        UnknownSends::Resend if ctx.clock.now() < patience_ends => Err(Failure::rate_limited(
            patience_ends,
            "outcome_unknown",
            "It may have been sent; the job looks again, and sends it again only if nothing is found.",
            "waits before it sends again",
        )),
        UnknownSends::Resend => Ok(Found::NotDone),
    }
}

/// By the connection that it was begun by; one that has ended cannot be asked.
async fn look(
    far: &Far<'_>,
    effect: &'static dyn Remote,
    unknown: &StoredEffect,
) -> Result<Found, Failure> {
    let ctx = far.ctx;
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        let tenant = ctx.job.tenant;
        let connection = match unknown.connection {
            Some(id) => connections::find(&mut conn, tenant, id).await?,
            None => None,
        };
        let rendered = effects::rendered(&mut *conn, tenant, unknown.id).await?;
        Ok(connection.zip(rendered))
    };
    let Some((connection, rendered)) = read.await.map_err(|error| unavailable(&error))? else {
        return Ok(Found::CannotSay);
    };
    match effect.look(far, &connection, unknown, &rendered).await {
        Ok(found) => Ok(found),
        Err(error) => {
            halt(ctx, &connection, error).await?;
            Ok(Found::CannotSay)
        }
    }
}
