//! Loads the actions of a job, from an approval, a request or a triage: [`RequestedAction`].

use crate::handlers::{internal, unavailable};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    commands::approvals::execute::{BeginError, begin},
    domain::{
        ApprovalId, DigestId, MessageId,
        action::{ActionType, Params},
        approval::NewApproval,
        gate::{Confirmation, Gate},
        proposal::Proposal,
        risk::Risk,
    },
    kinds::action::{Args, Work},
    store::{approvals::StoredApproval, proposed_actions},
};
use queue::Failure;
use queue::runtime::handler::JobContext;
use serde_json::Map;

/// One action to execute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RequestedAction {
    pub(super) kind: ActionType,
    pub(super) params: Params,
    pub(super) message: Option<MessageId>,
    /// The caller's id of the effect.
    pub(super) external_id: Option<String>,
    /// Its approval.
    pub(super) approval: Option<ApprovalId>,
    /// The risk found earlier; otherwise the gate derives it from the email.
    pub(super) known_risk: Option<Risk>,
}

impl RequestedAction {
    /// Returns the risk found earlier, else the base risk of the type.
    pub(super) fn risk(&self) -> Risk {
        self.known_risk.unwrap_or_else(|| self.kind.spec().risk)
    }

    /// Builds the approval that this action needs.
    pub(super) fn to_approval(&self, risk: Risk, now: DateTime<Utc>) -> NewApproval {
        let proposal = Proposal {
            kind: self.kind,
            params: self.params.clone(),
            confirmation: Confirmation::Required,
            confidence: 1.0,
            rationale: None,
        };
        let approval = NewApproval::about(&proposal, self.message, "action", risk, now);
        match &self.external_id {
            Some(id) => approval.with_external_id(id),
            None => approval,
        }
    }
}

/// Loads the actions of a job.
///
/// # Errors
/// If the approval no longer exists or was changed, or the database fails.
pub(super) async fn load(ctx: &JobContext, args: &Args) -> Result<Vec<RequestedAction>, Failure> {
    match &args.work {
        Work::Approval {
            approval_id,
            version,
        } => {
            let approval = begin(&ctx.pool, &ctx.job, *approval_id, *version)
                .await
                .map_err(not_begun)?;
            of_approval(&approval).map(|action| vec![action])
        }
        Work::Requested(actions) => Ok(actions
            .iter()
            .map(|action| RequestedAction {
                kind: action.kind,
                params: action.params.clone(),
                message: action.message_id,
                external_id: action.external_id.clone(),
                approval: None,
                known_risk: None,
            })
            .collect()),
        Work::Triaged { job_id } => of_triage(ctx, *job_id).await,
        Work::Digest { digest_id } => of_digest(*digest_id).map(|action| vec![action]),
        Work::Undo { .. } => Ok(Vec::new()),
    }
}

/// Converts the error of beginning an approval into a failure of the job.
pub(super) fn not_begun(error: BeginError) -> Failure {
    match error {
        BeginError::NotHeld => Failure::interrupted(),
        BeginError::NotFound => Failure::permanent(
            "approval_missing",
            "This approval no longer exists.",
            "no row in approvals",
        ),
        BeginError::Changed => Failure::permanent(
            "approval_changed",
            "The approval was revoked or changed; nothing was executed.",
            "the approval is not in the approved version",
        ),
        BeginError::Database(error) => unavailable(&error),
    }
}

/// The email of a digest needs no approval: it goes to its user alone, who asked for it in their preferences.
fn of_digest(id: DigestId) -> Result<RequestedAction, Failure> {
    let kind = ActionType::SendDigest;
    let raw = Map::from_iter([("digest_id".to_owned(), id.to_string().into())]);
    let params = Params::read(kind, &raw).map_err(|faults| {
        let detail = format!("{} parameters are invalid", faults.len());
        Failure::permanent("digest_unreadable", "The digest could not be sent.", detail)
    })?;
    Ok(RequestedAction {
        kind,
        params,
        message: None,
        external_id: None,
        approval: None,
        known_risk: Some(Risk::Low),
    })
}

fn of_approval(approval: &StoredApproval) -> Result<RequestedAction, Failure> {
    let broken = |detail: String| {
        Failure::permanent(
            "approval_unreadable",
            "This version of Postroom cannot read the approval.",
            detail,
        )
    };
    let payload = &approval.payload;
    let kind = payload["type"]
        .as_str()
        .and_then(ActionType::parse)
        .ok_or_else(|| broken("unknown type".into()))?;
    let raw = payload["params"]
        .as_object()
        .ok_or_else(|| broken("no parameters".into()))?;
    let params = Params::read(kind, raw)
        .map_err(|faults| broken(format!("{} parameters are invalid", faults.len())))?;
    Ok(RequestedAction {
        kind,
        params,
        message: payload["source_ids"]["email_message_id"]
            .as_str()
            .and_then(|id| id.parse().ok()),
        external_id: payload["external_id"].as_str().map(str::to_owned),
        approval: Some(approval.id),
        known_risk: Some(approval.risk),
    })
}

/// Loads the actions that the gate let through and this version supports.
async fn of_triage(ctx: &JobContext, job: JobId) -> Result<Vec<RequestedAction>, Failure> {
    let mut conn = ctx
        .pool
        .acquire()
        .await
        .map_err(|error| unavailable(&error))?;
    let stored = proposed_actions::of_job(&mut conn, ctx.job.lease.tenant, job)
        .await
        .map_err(|error| unavailable(&error))?;
    let auto = stored
        .into_iter()
        .filter(|action| action.gate == Gate::Auto);
    let read = auto.filter_map(|action| {
        let kind = ActionType::parse(&action.kind)?;
        Some((kind, action))
    });
    read.map(|(kind, action)| {
        let params = serde_json::from_value(action.payload).map_err(|error| internal(&error))?;
        Ok(RequestedAction {
            kind,
            params,
            message: Some(action.message),
            external_id: None,
            approval: None,
            known_risk: Some(action.risk),
        })
    })
    .collect()
}
