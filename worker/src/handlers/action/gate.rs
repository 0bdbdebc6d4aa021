//! Decides whether an action may run, from facts that our code establishes: the tenant's current trust mode and the email.

use super::load::RequestedAction;
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

/// The gate's decision.
pub(super) struct GateDecision {
    pub(super) risk: Risk,
    pub(super) gate: Gate,
}

/// Decides whether the action may run.
pub(super) async fn decide_gate(
    ctx: &JobContext,
    args: &Args,
    action: &RequestedAction,
) -> Result<GateDecision, Failure> {
    let trust = trust(ctx, args).await?;
    if action.approval.is_some() {
        // A user approved it.
        return Ok(GateDecision {
            risk: action.risk(),
            gate: Gate::Approval,
        });
    }
    let policy = HighRiskPolicy::default();
    if let Some(risk) = action.known_risk {
        let gate = by_trust(trust, risk, policy);
        return Ok(GateDecision { risk, gate });
    }
    let facts = match action.message {
        Some(message) => circumstances(ctx, message).await?,
        None => Circumstances::default(),
    };
    let confirmation = Confirmation::AsTrusted;
    let (risk, gate) = decide(trust, action.kind, facts, confirmation, policy);
    Ok(GateDecision { risk, gate })
}

/// Returns the tenant's trust mode; a request may only lower it.
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
    Ok(args.trust.map_or(own, |requested| requested.min(own)))
}

/// Reads the facts about the email.
async fn circumstances(ctx: &JobContext, message: MessageId) -> Result<Circumstances, Failure> {
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
                "This email is not stored or was deleted.",
                "no row in messages",
            )
        })?;
    let injection_suspected = triage_results::injection_suspected(&mut conn, tenant, message)
        .await
        .map_err(|error| unavailable(&error))?;
    drop(conn);
    // Parsing may take long; it must not block the other jobs of this thread.
    let parsed =
        tokio::task::spawn_blocking(move || Mail::from_source(stored.format, &stored.source));
    let mail = parsed.await.ok().and_then(Result::ok).ok_or_else(|| {
        Failure::permanent(
            "unparsable_mail",
            "This email could not be parsed.",
            "the parser failed",
        )
    })?;
    Ok(Circumstances {
        injection_suspected,
        dmarc_failed: mail.dmarc_failed(),
        automatic_sender: is_automatic(&mail),
        items: 1,
    })
}
