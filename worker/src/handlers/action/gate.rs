//! Whether an action may run, by facts that our own code establishes: the tenant's trust at this moment, and the mail.

use super::load::Wanted;
use crate::handlers::unavailable;
use jobs::{
    domain::{
        MessageId,
        gate::{Circumstances, Confirmation, Gate, HighRiskPolicy, TrustMode, by_trust, decide},
        mail::{Mail, is_automatic},
        risk::Risk,
    },
    kinds::action::Args,
    store::{messages, tenants, triage_results},
};
use queue::Failure;
use queue::runtime::handler::JobContext;

/// The gate's word.
pub(super) struct Gated {
    pub(super) risk: Risk,
    pub(super) gate: Gate,
}

pub(super) async fn gated(
    ctx: &JobContext,
    args: &Args,
    action: &Wanted,
) -> Result<Gated, Failure> {
    let trust = trust(ctx, args).await?;
    if action.approval.is_some() {
        // A person has agreed to it.
        return Ok(Gated {
            risk: action.risk(),
            gate: Gate::Approval,
        });
    }
    let policy = HighRiskPolicy::default();
    if let Some(risk) = action.found {
        let gate = by_trust(trust, risk, policy);
        return Ok(Gated { risk, gate });
    }
    let facts = match action.message {
        Some(message) => about(ctx, message).await?,
        None => Circumstances::default(),
    };
    let confirmation = Confirmation::AsTrusted;
    let (risk, gate) = decide(trust, action.kind, facts, confirmation, policy);
    Ok(Gated { risk, gate })
}

/// The tenant's trust; a request may only lower it.
async fn trust(ctx: &JobContext, args: &Args) -> Result<TrustMode, Failure> {
    let mut conn = ctx
        .pool
        .acquire()
        .await
        .map_err(|error| unavailable(&error))?;
    let own = tenants::trust_mode(&mut conn, ctx.job.tenant)
        .await
        .map_err(|error| unavailable(&error))?
        .ok_or_else(|| {
            Failure::permanent(
                "tenant_closed",
                "This account is closed.",
                "the tenant is closed",
            )
        })?;
    Ok(args.trust.map_or(own, |asked| asked.min(own)))
}

async fn about(ctx: &JobContext, message: MessageId) -> Result<Circumstances, Failure> {
    let tenant = ctx.job.tenant;
    let mut conn = ctx
        .pool
        .acquire()
        .await
        .map_err(|error| unavailable(&error))?;
    let stored = messages::find(&mut conn, tenant, message)
        .await
        .map_err(|error| unavailable(&error))?
        .ok_or_else(|| {
            Failure::permanent(
                "message_missing",
                "This mail is not kept, or not any more.",
                "no row in messages",
            )
        })?;
    let injection_suspected = triage_results::injection_suspected(&mut conn, tenant, message)
        .await
        .map_err(|error| unavailable(&error))?;
    drop(conn);
    // A mail may have many megabytes: parsing it would hold up every other job of this thread.
    let parsed =
        tokio::task::spawn_blocking(move || Mail::from_source(stored.format, &stored.source));
    let mail = parsed.await.ok().and_then(Result::ok).ok_or_else(|| {
        Failure::permanent(
            "unparsable_mail",
            "This mail cannot be read.",
            "the parser refused",
        )
    })?;
    Ok(Circumstances {
        injection_suspected,
        dmarc_failed: mail.dmarc_failed(),
        automatic_sender: is_automatic(&mail),
        items: 1,
    })
}
