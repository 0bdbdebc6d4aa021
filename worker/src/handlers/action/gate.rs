//! Decides whether an action may run, from facts that our code establishes: the tenant's current trust mode and the email.

use super::load::RequestedAction;
use crate::{handlers::unavailable, messages::load_parsed};
use jobs::{
    domain::{
        MessageId,
        gate::{Circumstances, Confirmation, Gate, HighRiskPolicy, TrustMode, by_trust, decide},
        mail::is_automatic,
        risk::Risk,
    },
    kinds::action::{Args, Work},
    store::{tenants, triage_results},
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
    let of_email = match action.message {
        Some(message) => circumstances(ctx, message).await?,
        None => Circumstances::default(),
    };
    let facts = Circumstances {
        items: match &args.work {
            Work::Requested(actions) => actions.len(),
            Work::Approval { .. }
            | Work::Triaged { .. }
            | Work::Digest { .. }
            | Work::Undo { .. } => 1,
        },
        ..of_email
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
    let own = tenants::trust_mode(&mut conn, ctx.job.lease.tenant)
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
    let tenant = ctx.job.lease.tenant;
    let mail = load_parsed(&ctx.pool, tenant, message).await?.mail;
    let mut conn = ctx
        .pool
        .acquire()
        .await
        .map_err(|error| unavailable(&error))?;
    let injection_suspected = triage_results::injection_suspected(&mut conn, tenant, message)
        .await
        .map_err(|error| unavailable(&error))?;
    Ok(Circumstances {
        injection_suspected,
        dmarc_failed: mail.dmarc_failed(),
        automatic_sender: is_automatic(&mail),
        reply_is_drafted: false,
        items: 1,
    })
}
