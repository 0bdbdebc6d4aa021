//! A decision after the gate: [`Plan`], which will be written. Pure, except for new ids.

use super::load::Case;
use super::merge::Decision;
use crate::handlers::draft::load::reply_notice;
use chrono::{DateTime, Utc};
use jobs::domain::{
    action::ActionType,
    approval::NewApproval,
    draft::headers,
    gate::{Circumstances, Gate, HighRiskPolicy, decide},
    judgement::{Disposition, Judgement},
    mail::{Mail, is_automatic, one_click},
    proposal::{Proposal, ProposedAction},
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
            reply_is_drafted: drafts_reply(&decision.judgement),
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
                .then(|| NewApproval::of(&proposal, case.message, risk, now))
                .map(|approval| addressed(approval, &proposal, &case.mail));
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

/// Whether a job drafts a reply to the email. With a suspected injection none does; a user can still request one.
pub(super) const fn drafts_reply(judgement: &Judgement) -> bool {
    matches!(judgement.disposition, Disposition::Respond) && !judgement.injection_suspected
}

/// Shows on the approval of a reply who gets it: its recipients come from the email, not from its parameters.
fn addressed(approval: NewApproval, proposal: &Proposal, mail: &Mail) -> NewApproval {
    if proposal.kind == ActionType::Unsubscribe {
        return match one_click(mail) {
            Ok(url) => approval.with_recipients(&[url.to_string()], None),
            // The action itself will refuse it and say why.
            Err(_) => approval,
        };
    }
    if proposal.kind != ActionType::Reply {
        return approval;
    }
    match headers::answer(mail, false, &[]) {
        Ok(answer) => {
            let notice = reply_notice(mail, &answer.to);
            approval.with_recipients(&answer.to, notice.as_deref())
        }
        // The action itself will find nobody to answer and say so.
        Err(_) => approval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::{MessageId, action::Params, gate::Confirmation, risk::Risk};
    use serde_json::{Map, json};

    #[test]
    fn approval_of_a_reply_says_who_gets_it_and_that_it_leaves_the_senders_domain() {
        let shown = |kind, headers: &str| {
            let proposal = Proposal {
                kind,
                params: Params::read(kind, &Map::new()).unwrap(),
                confirmation: Confirmation::Required,
                confidence: 1.0,
                rationale: None,
            };
            let mail = Mail::parse(format!("{headers}\n\nHello").as_bytes()).unwrap();
            let at = DateTime::UNIX_EPOCH;
            let approval = NewApproval::of(&proposal, MessageId::new(), Risk::High, at);
            addressed(approval, &proposal, &mail)
        };
        let plain = shown(ActionType::Reply, "From: ann@bank.example");
        assert_eq!(plain.payload["recipients"], json!(["ann@bank.example"]));
        assert_eq!(plain.rationale, None);
        let foreign = "From: ann@bank.example\nReply-To: eve@x.example";
        let reply = shown(ActionType::Reply, foreign);
        assert_eq!(reply.payload["recipients"], json!(["eve@x.example"]));
        let said = reply.rationale.unwrap();
        assert!(
            said.contains("eve@x.example") && said.contains("outside"),
            "{said}"
        );
        let archive = shown(ActionType::Archive, foreign);
        assert_eq!(archive.payload.get("recipients"), None);
    }
}
