//! A decision after the gate: [`Plan`], which will be written. Pure, except for new ids.

use super::load::Case;
use super::merge::Decision;
use chrono::{DateTime, Utc};
use jobs::domain::{
    approval::NewApproval,
    gate::{Circumstances, Gate, HighRiskPolicy, decide},
    judgement::Judgement,
    mail::is_automatic,
    proposal::ProposedAction,
};
use uuid::Uuid;

/// A judgement, its actions after the gate, and the approvals that some of them need.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) judgement: Judgement,
    pub(super) actions: Vec<ProposedAction>,
    pub(super) approvals: Vec<NewApproval>,
}

impl Plan {
    /// Applies the gate to each proposal.
    pub(super) fn gated(decision: Decision, case: &Case, now: DateTime<Utc>) -> Self {
        let facts = Circumstances {
            injection_suspected: decision.judgement.injection_suspected,
            dmarc_failed: case.mail.dmarc_failed(),
            automatic_sender: is_automatic(&case.mail),
            items: 1,
        };
        let mut plan = Self::without_actions(decision.judgement);
        for proposal in decision.proposals {
            let (risk, gate) = decide(
                case.trust,
                proposal.kind,
                facts,
                proposal.confirmation,
                HighRiskPolicy::default(),
            );
            let approval = (gate == Gate::Approval)
                .then(|| NewApproval::of(&proposal, case.message, risk, now));
            plan.actions.push(ProposedAction {
                id: Uuid::now_v7(),
                proposal,
                risk,
                gate,
                approval: approval.as_ref().map(|approval| approval.id),
            });
            plan.approvals.extend(approval);
        }
        plan
    }

    pub(super) fn without_actions(judgement: Judgement) -> Self {
        Self {
            judgement,
            actions: Vec::new(),
            approvals: Vec::new(),
        }
    }
}
