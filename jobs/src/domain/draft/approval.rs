//! The approval of a draft version: [`approval_of`]. It covers one version and its content, by its hash.

use crate::domain::{
    DraftId, MessageId,
    action::{ActionType, Params, canonical_sha256},
    approval::{NewApproval, Patched},
    gate::Confirmation,
    proposal::Proposal,
    risk::Risk,
};
use base::hex;
use chrono::{DateTime, Utc};
use serde_json::json;

/// A version to be approved.
#[derive(Clone, Debug)]
pub struct Proposed<'a> {
    pub draft: DraftId,
    pub version: i32,
    pub content_hash: [u8; 32],
    pub subject: &'a str,
    pub send_at: Option<DateTime<Utc>>,
    /// Everybody who gets it.
    pub recipients: &'a [String],
    /// What the person should know about them before deciding.
    pub notice: Option<&'a str>,
    /// The message that it replies to.
    pub message: Option<MessageId>,
    pub risk: Risk,
    /// In [0, 1].
    pub confidence: f32,
}

/// Builds the approval of a first version.
pub fn approval_of(proposed: &Proposed<'_>, now: DateTime<Utc>) -> NewApproval {
    let proposal = Proposal {
        kind: ActionType::SendDraft,
        params: params(proposed),
        // A message leaves in the person's name.
        confirmation: Confirmation::Required,
        confidence: proposed.confidence,
        rationale: None,
    };
    let approval = NewApproval::about(&proposal, proposed.message, "draft", proposed.risk, now);
    let Patched {
        payload,
        payload_hash,
        summary,
    } = payload_of(proposed);
    NewApproval {
        payload,
        payload_hash,
        summary,
        rationale: proposed.notice.map(str::to_owned),
        ..approval
    }
}

/// Builds the payload for this version.
pub fn payload_of(proposed: &Proposed<'_>) -> Patched {
    let payload = json!({
        "type": ActionType::SendDraft,
        "params": params(proposed).as_json(),
        "source_ids": { "email_message_id": proposed.message },
        "send_at": proposed.send_at,
        "recipients": proposed.recipients,
        "notice": proposed.notice,
    });
    Patched {
        payload_hash: canonical_sha256(&payload),
        payload,
        summary: proposed.subject.to_owned(),
    }
}

fn params(proposed: &Proposed<'_>) -> Params {
    let raw = json!({
        "draft_id": proposed.draft.to_string(),
        "version": proposed.version.to_string(),
        "content_hash": hex(&proposed.content_hash),
    });
    let fields = raw.as_object().cloned().unwrap_or_default();
    Params::read(ActionType::SendDraft, &fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_approved_is_one_version_with_its_content() {
        let proposed = Proposed {
            draft: DraftId::new(),
            version: 2,
            content_hash: [7; 32],
            subject: "Re: Plan",
            send_at: Some(DateTime::UNIX_EPOCH),
            recipients: &["ann@x.example".to_owned()],
            notice: Some("The answer leaves the sender's domain."),
            message: None,
            risk: Risk::High,
            confidence: 0.9,
        };
        let approval = approval_of(&proposed, DateTime::UNIX_EPOCH);
        assert_eq!(
            approval.payload["params"],
            json!({"draft_id": proposed.draft, "version": "2", "content_hash": "07".repeat(32)})
        );
        assert_eq!(approval.payload["recipients"], json!(["ann@x.example"]));
        assert_eq!(approval.rationale.as_deref(), proposed.notice);
        assert_eq!(approval.payload["send_at"], "1970-01-01T00:00:00Z");
        assert_eq!(
            approval.payload_hash,
            canonical_sha256(&payload_of(&proposed).payload)
        );
        assert_eq!(
            (approval.kind, approval.summary.as_str()),
            ("send_draft", "Re: Plan")
        );
    }
}
