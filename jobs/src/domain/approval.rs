//! Approvals: how they begin ([`NewApproval`]), their states ([`Status`]) and how they are edited ([`patch()`]).

mod patch;
mod status;

pub use patch::{PatchFault, Patched, patch};
pub use status::{Refused, Status, Step};

use super::action::canonical_sha256;
use super::proposal::Proposal;
use super::risk::Risk;
use super::{ApprovalId, MessageId};
use base::str_enum;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

str_enum! {
    /// What a person may do with an approval.
    #[schemars(rename = "ApprovalChoice")]
    Choice {
        Approve = "approve",
        Edit = "edit",
        Reject = "reject",
    }
}

/// How long an approval stays open. An email older than two weeks has been dealt with some other way, and a late
/// approval would act on a state that has changed.
pub const OPEN_FOR: TimeDelta = TimeDelta::days(14);

/// An approval to be inserted.
#[derive(Clone, Debug, PartialEq)]
pub struct NewApproval {
    pub id: ApprovalId,
    /// The type of the action.
    pub kind: &'static str,
    /// The kind of job that asks for it.
    pub source: &'static str,
    pub title: String,
    pub summary: String,
    pub choices: Vec<Choice>,
    /// The exact bytes that are executed if it is approved.
    pub payload: Value,
    pub payload_hash: [u8; 32],
    pub risk: Risk,
    pub rationale: Option<String>,
    pub confidence: f32,
    pub expires_at: DateTime<Utc>,
}

impl NewApproval {
    /// Builds the approval of a `proposal` made from `message`.
    pub fn of(proposal: &Proposal, message: MessageId, risk: Risk, now: DateTime<Utc>) -> Self {
        Self::about(proposal, Some(message), "triage", risk, now)
    }

    /// Builds the approval of a proposal with or without a message.
    pub fn about(
        proposal: &Proposal,
        message: Option<MessageId>,
        source: &'static str,
        risk: Risk,
        now: DateTime<Utc>,
    ) -> Self {
        let payload = json!({
            "type": proposal.kind,
            "params": proposal.params.as_json(),
            "source_ids": { "email_message_id": message },
        });
        Self {
            id: ApprovalId::new(),
            kind: proposal.kind.as_str(),
            source,
            title: proposal.kind.spec().title.to_owned(),
            summary: proposal.params.summary(proposal.kind).to_owned(),
            choices: Choice::ALL.to_vec(),
            payload_hash: canonical_sha256(&payload),
            payload,
            risk,
            rationale: proposal.rationale.clone(),
            confidence: proposal.confidence,
            expires_at: now + OPEN_FOR,
        }
    }
}

impl NewApproval {
    /// Shows who gets the message, and adds what the person should know about them.
    #[must_use]
    pub fn with_recipients(mut self, recipients: &[String], notice: Option<&str>) -> Self {
        self.payload["recipients"] = recipients.into();
        self.payload["notice"] = notice.into();
        self.payload_hash = canonical_sha256(&self.payload);
        if let Some(notice) = notice {
            let before = self.rationale.take();
            let said = before.into_iter().chain([notice.to_owned()]);
            self.rationale = Some(said.collect::<Vec<_>>().join(" "));
        }
        self
    }

    /// Sets the caller's name for the effect: under one name it happens once.
    #[must_use]
    pub fn with_external_id(mut self, external_id: &str) -> Self {
        self.payload["external_id"] = external_id.into();
        self.payload_hash = canonical_sha256(&self.payload);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        action::{ActionType, Params},
        gate::Confirmation,
    };

    #[test]
    fn hash_is_over_what_will_be_executed() {
        let proposal = |title: &str| Proposal {
            kind: ActionType::CreateTask,
            params: Params::read(
                ActionType::CreateTask,
                json!({"title": title}).as_object().unwrap(),
            )
            .unwrap(),
            confirmation: Confirmation::AsTrusted,
            confidence: 0.9,
            rationale: None,
        };
        let (message, now) = (MessageId::new(), DateTime::UNIX_EPOCH);
        let approval = NewApproval::of(&proposal("Pay"), message, Risk::Medium, now);
        assert_eq!(approval.payload_hash, canonical_sha256(&approval.payload));
        assert_eq!(
            (approval.title.as_str(), approval.summary.as_str()),
            ("Create a task", "Pay")
        );
        assert_eq!(approval.expires_at, now + TimeDelta::days(14));
        let other = NewApproval::of(&proposal("Pay more"), message, Risk::Medium, now);
        assert_ne!(approval.payload_hash, other.payload_hash);
        let to = ["ann@x.example".to_owned()];
        let addressed = approval.clone().with_recipients(&to, Some("Look twice."));
        assert_eq!(addressed.payload["recipients"], json!(to));
        assert_eq!(addressed.rationale.as_deref(), Some("Look twice."));
        assert_eq!(addressed.payload_hash, canonical_sha256(&addressed.payload));
        assert_ne!(addressed.payload_hash, approval.payload_hash);
    }
}
