//! Executes a remote effect: intent, in flight, end, each committed before the next step. An effect that may have happened is
//! looked up, never blindly repeated; see `jobs::commands::effects`.

use super::outcomes::{duplicate, ledger_failure, refused, succeeded};
use super::provider_error::refusal_or_failure;
use crate::effects::{
    ActionContext, Lookup, OTHER_REPLY, PrepareError, Prepared, ProviderContext, Receipt,
    RemoteEffect,
};
use crate::handlers::unavailable;
use crate::providers::{ProviderError, Providers};
use chrono::TimeDelta;
use jobs::{
    commands::effects::{
        LedgerError, Reserved, end,
        reconcile::{Finding, settle_unknown},
        reserve,
        sending::{Sending, USER_SUSPENDED, begin_sending},
    },
    domain::{
        EffectId,
        connection::ConnectionStatus,
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

/// How long an email may take to appear at the provider before it is sent again.
const RESEND_AFTER: TimeDelta = TimeDelta::seconds(60);

const UNKNOWN: &str = "This may have been done: the connection broke before the provider answered. Check at the provider (for \
                       an email, in the sent folder), then report what you found with POST /v1/effects/{id}/resolve.";
/// After the last attempt at an action that certainly was not done.
pub(super) const NOT_DONE: &str = "All attempts failed. Nothing was done.";

/// Executes the effect or, in a dry run, describes it. `base` contains the known part of the outcome.
pub(super) async fn execute_remote(
    ctx: &JobContext,
    providers: &Providers,
    dry_run: bool,
    (action, effect): (ActionContext<'_>, &'static dyn RemoteEffect),
    new: NewEffect,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let providers = ProviderContext::new(ctx, providers);
    let known = effects::status_of_key(&ctx.pool, ctx.job.lease.tenant, &new.key)
        .await
        .map_err(|error| unavailable(&error))?;
    let prepared = if dry_run || known.is_none_or(may_begin) {
        match effect.prepare(&providers, &action).await {
            Ok(prepared) => Some(prepared),
            Err(PrepareError::Refused { code, message }) => {
                return Ok(refused(base, None, code, &message));
            }
            Err(PrepareError::Provider {
                source: source @ (ProviderError::Retryable { .. } | ProviderError::Unknown { .. }),
                ..
            }) if ctx.job.is_last_attempt() => {
                // The job's other actions have their outcomes, and its approvals are wanted.
                return Ok(refused(base, None, source.code(), NOT_DONE));
            }
            Err(PrepareError::Provider { connection, source }) => {
                let (code, message) = refusal_or_failure(ctx, &connection, source).await?;
                return Ok(refused(base, None, code, &message));
            }
            Err(PrepareError::Database(error)) => return Err(unavailable(&error)),
        }
    } else {
        // The effect may have happened and changed its target, so that preparing it again could fail.
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
        connection: prepared.as_ref().map(|prepared| prepared.connection.id),
        rendered: prepared.as_ref().map(|prepared| prepared.rendered.clone()),
        message_id: prepared
            .as_ref()
            .and_then(|prepared| prepared.message_id.clone()),
        ..new
    };
    let reserved = reserve(&ctx.pool, &ctx.job, &new)
        .await
        .map_err(ledger_failure)?;
    match (reserved, prepared) {
        (Reserved::Intended(id), Some(prepared)) => {
            start(&providers, effect, id, &prepared, base).await
        }
        (Reserved::Intended(_), None) => Err(Failure::transient(
            "effect_free_again",
            "Another job gave up this action before it was done; the job will be retried.",
            "the effect key became free during preparation",
        )),
        (Reserved::Duplicate(found), _)
            if found.status == EffectStatus::Unknown && found.job == ctx.job.lease.job =>
        {
            reconcile(&providers, effect, &found, base).await
        }
        (Reserved::Duplicate(found), _) => Ok(duplicate(ctx, base, &new, &found)),
    }
}

/// Returns whether [`reserve`] may return the effect to be started.
const fn may_begin(status: EffectStatus) -> bool {
    matches!(
        status,
        EffectStatus::Intent | EffectStatus::Retryable | EffectStatus::FailedPermanent
    )
}

/// Performs a prepared effect.
async fn start(
    providers: &ProviderContext<'_>,
    effect: &'static dyn RemoteEffect,
    id: EffectId,
    prepared: &Prepared,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let (ctx, connection) = (providers.ctx, &prepared.connection);
    let begun = begin_sending(&ctx.pool, &ctx.job, (id, base.r#type), connection.id)
        .await
        .map_err(ledger_failure)?;
    let rendered = match begun {
        Sending::Go(rendered) => rendered,
        Sending::Wait { until, code } => {
            let message = match code {
                USER_SUSPENDED => {
                    "The user of this account is suspended; the job continues once they are active again."
                }
                _ => "Sending is paused at the moment; the job continues automatically.",
            };
            return Err(Failure::rate_limited(
                until,
                code,
                message,
                "held back before it was started",
            ));
        }
        Sending::ConnectionGone => {
            let message = "The account was disconnected.";
            return Ok(refused(base, Some(id), "connection_revoked", message));
        }
        Sending::OtherReply => {
            let (code, message) = OTHER_REPLY;
            return Ok(refused(base, Some(id), code, message));
        }
    };
    // Not written, an email that was sent would be unknown, or sent again.
    let ended = |outcome: EffectEnd| async move {
        let write = || end(&ctx.pool, &ctx.job, id, &outcome);
        ctx.store(write, LedgerError::is_transient)
            .await
            .map_err(ledger_failure)
    };
    match effect.perform(providers, connection, rendered).await {
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
            tracing::warn!(effect.id = %id, code, detail, "the effect may have happened");
            ended(EffectEnd::Unknown { code }).await?;
            let found = reload(ctx, id).await?;
            reconcile(providers, effect, &found, base).await
        }
        Err(error) => {
            let code = error.code();
            ended(EffectEnd::Retryable { code }).await?;
            if matches!(error, ProviderError::Retryable { .. }) && ctx.job.is_last_attempt() {
                return Ok(refused(base, Some(id), code, NOT_DONE));
            }
            let (code, message) = refusal_or_failure(ctx, connection, error).await?;
            Ok(refused(base, Some(id), code, &message))
        }
    }
}

/// Reads the current state of the effect.
async fn reload(ctx: &JobContext, id: EffectId) -> Result<StoredEffect, Failure> {
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        effects::find(&mut conn, ctx.job.lease.tenant, id)
            .await?
            .ok_or(sqlx::Error::RowNotFound)
    };
    read.await.map_err(|error| unavailable(&error))
}

/// Looks the effect up at the provider; if that gives no answer, a user must resolve it.
async fn reconcile(
    providers: &ProviderContext<'_>,
    effect: &'static dyn RemoteEffect,
    unknown: &StoredEffect,
    base: ActionOutcome,
) -> Result<ActionOutcome, Failure> {
    let ctx = providers.ctx;
    let found = match look_up(providers, effect, unknown).await {
        Ok(Lookup::Unknown) if base.r#type.spec().executor.is_message() => {
            apply_resend_policy(ctx, unknown).await?
        }
        Ok(found) => found,
        Err(failure) if !ctx.job.is_last_attempt() => return Err(failure),
        // Nobody has looked.
        Err(_) => Lookup::Unknown,
    };
    let id = unknown.id;
    let finding = match &found {
        Lookup::Done(known) => Finding::Done {
            receipt: known.receipt.clone(),
            before_image: known.before_image.clone(),
        },
        Lookup::NotDone => Finding::NotDone,
        Lookup::Unknown => Finding::CannotSay,
    };
    settle_unknown(&ctx.pool, &ctx.job, id, &finding)
        .await
        .map_err(ledger_failure)?;
    match found {
        Lookup::Done(known) => Ok(succeeded(base, id, Some(known.receipt))),
        Lookup::NotDone if ctx.job.is_last_attempt() => {
            Ok(refused(base, Some(id), "not_done", NOT_DONE))
        }
        Lookup::NotDone => Err(Failure::transient(
            "not_done",
            "The connection broke before the action was done; the job will be retried.",
            "the provider does not have it",
        )),
        Lookup::Unknown => Ok(ActionOutcome {
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

/// Applies the tenant's setting for emails that may have been sent. One is sent again once at most: a server whose answer is late
/// each time has taken each copy.
async fn apply_resend_policy(ctx: &JobContext, unknown: &StoredEffect) -> Result<Lookup, Failure> {
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        tenants::settings(&mut conn, ctx.job.lease.tenant).await
    };
    let settings = read.await.map_err(|error| unavailable(&error))?;
    let resend_at = unknown.updated_at + RESEND_AFTER;
    match settings.unknown_sends {
        UnknownSends::Ask => Ok(Lookup::Unknown),
        // An earlier attempt has failed, perhaps this very send.
        UnknownSends::Resend if ctx.job.errors > 0 || ctx.job.is_last_attempt() => {
            Ok(Lookup::Unknown)
        }
        UnknownSends::Resend if ctx.clock.now() < resend_at => Err(Failure::rate_limited(
            resend_at,
            "outcome_unknown",
            "This may have been sent; the job looks it up again, and sends it again only if it is not found.",
            "waiting before a second send",
        )),
        UnknownSends::Resend => Ok(Lookup::NotDone),
    }
}

/// Looks the effect up by the connection that it was started with; unknown if that connection was removed.
pub(super) async fn look_up(
    providers: &ProviderContext<'_>,
    effect: &'static dyn RemoteEffect,
    unknown: &StoredEffect,
) -> Result<Lookup, Failure> {
    let ctx = providers.ctx;
    let read = async {
        let mut conn = ctx.pool.acquire().await?;
        let tenant = ctx.job.lease.tenant;
        let connection = match unknown.connection {
            Some(id) => connections::find(&mut conn, tenant, id).await?,
            None => None,
        }
        .filter(|found| found.status != ConnectionStatus::Revoked);
        let rendered = effects::rendered(&mut *conn, tenant, unknown.id).await?;
        Ok(connection.zip(rendered))
    };
    let Some((connection, rendered)) = read.await.map_err(|error| unavailable(&error))? else {
        return Ok(Lookup::Unknown);
    };
    match effect
        .look_up(providers, &connection, unknown, &rendered)
        .await
    {
        Ok(found) => Ok(found),
        Err(error) => {
            refusal_or_failure(ctx, &connection, error).await?;
            Ok(Lookup::Unknown)
        }
    }
}
