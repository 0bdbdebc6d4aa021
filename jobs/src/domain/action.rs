//! Actions: what can be done about a mail ([`ActionType`]), what each needs ([`Params`]), and one that was proposed
//! ([`Proposal`], [`ProposedAction`]). Executes nothing.

mod params;

pub use params::{Field, FieldKind, ParamFault, Params};

use super::ApprovalId;
use super::gate::{Confirmation, Gate, Risk};
use super::words::words;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

words! {
    /// The types of actions.
    ActionType {
        Label = "label",
        Unlabel = "unlabel",
        MarkRead = "mark_read",
        Star = "star",
        Notify = "notify",
        Archive = "archive",
        Move = "move",
        SaveDraft = "save_draft",
        CreateTask = "create_task",
        UpdateTask = "update_task",
        Link = "link",
        UpsertContact = "upsert_contact",
        ScheduleBlock = "schedule_block",
        Snooze = "snooze",
        Defer = "defer",
        SendDraft = "send_draft",
        Reply = "reply",
        Send = "send",
        Forward = "forward",
        CreateEvent = "create_event",
        Trash = "trash",
        Spam = "spam",
        CallWebhook = "call_webhook",
    }
}

impl ActionType {
    /// What a model may propose: nothing that carries a recipient, an address or an id of its choosing.
    pub const OPEN_TO_MODELS: &'static [Self] = &[
        Self::Label,
        Self::MarkRead,
        Self::Star,
        Self::Notify,
        Self::Archive,
        Self::SaveDraft,
        Self::CreateTask,
        Self::Snooze,
    ];

    /// What a rule may do: nothing that names a row by its id, for a rule is written before there is one.
    pub const OPEN_TO_RULES: &'static [Self] = &[
        Self::Label,
        Self::Unlabel,
        Self::MarkRead,
        Self::Star,
        Self::Notify,
        Self::Archive,
        Self::Move,
        Self::SaveDraft,
        Self::CreateTask,
        Self::UpdateTask,
        Self::UpsertContact,
        Self::ScheduleBlock,
        Self::Snooze,
        Self::Reply,
        Self::Send,
        Self::Forward,
        Self::CreateEvent,
        Self::Trash,
        Self::Spam,
        Self::CallWebhook,
    ];

    /// What this version can do; the rest can be proposed, and a person does it.
    pub const EXECUTABLE: &'static [Self] = &[
        Self::Notify,
        Self::CreateTask,
        Self::UpdateTask,
        Self::Link,
        Self::UpsertContact,
        Self::ScheduleBlock,
        Self::Snooze,
        Self::Defer,
        Self::Send,
        Self::SendDraft,
        Self::CreateEvent,
        Self::CallWebhook,
        Self::Label,
        Self::Unlabel,
        Self::MarkRead,
        Self::Star,
        Self::Archive,
        Self::Move,
        Self::Trash,
        Self::Spam,
        Self::SaveDraft,
        Self::Reply,
        Self::Forward,
    ];

    pub fn is_executable(self) -> bool {
        Self::EXECUTABLE.contains(&self)
    }

    /// Whether what it did can be taken back.
    pub const fn is_compensable(self) -> bool {
        matches!(
            self,
            Self::CreateTask
                | Self::UpdateTask
                | Self::Link
                | Self::UpsertContact
                | Self::ScheduleBlock
                | Self::Snooze
                | Self::Defer
                | Self::Label
                | Self::Unlabel
                | Self::MarkRead
                | Self::Star
                | Self::Archive
                | Self::Move
                | Self::Trash
                | Self::Spam
                | Self::CreateEvent
        )
    }

    /// Whether it is a mail that a person may still call back for a few seconds.
    pub const fn is_mail(self) -> bool {
        matches!(
            self,
            Self::SendDraft | Self::Reply | Self::Send | Self::Forward
        )
    }

    /// Whether something of the mail or about it reaches somebody else.
    pub const fn leaves_the_house(self) -> bool {
        matches!(
            self,
            Self::SendDraft
                | Self::Reply
                | Self::Send
                | Self::Forward
                | Self::CallWebhook
                | Self::CreateEvent
        )
    }

    /// Whether its effect arrives at the mail's sender.
    pub const fn answers_the_sender(self) -> bool {
        matches!(self, Self::Reply | Self::SaveDraft)
    }

    /// The noun a person reads on an approval.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Label => "Label the mail",
            Self::Unlabel => "Remove a label",
            Self::MarkRead => "Mark as read",
            Self::Star => "Star the mail",
            Self::Notify => "Notify you",
            Self::Archive => "Archive the mail",
            Self::Move => "Move the mail",
            Self::SaveDraft => "Draft a reply",
            Self::CreateTask => "Create a task",
            Self::UpdateTask => "Update a task",
            Self::Link => "Link a task",
            Self::UpsertContact => "Save a contact",
            Self::ScheduleBlock => "Block time",
            Self::Snooze => "Snooze the mail",
            Self::Defer => "Put off an item",
            Self::SendDraft => "Send a draft",
            Self::Reply => "Send a reply",
            Self::Send => "Send a mail",
            Self::Forward => "Forward the mail",
            Self::CreateEvent => "Create an event",
            Self::Trash => "Delete the mail",
            Self::Spam => "Report as spam",
            Self::CallWebhook => "Call a webhook",
        }
    }
}

/// An action somebody (a rule, the model, the fallback) wants done, before the gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub kind: ActionType,
    pub params: Params,
    pub confirmation: Confirmation,
    /// In [0, 1].
    pub confidence: f32,
    pub rationale: Option<String>,
}

impl Proposal {
    /// sha256 over type and canonical parameters: two different tasks from one mail are two, the same twice is one.
    pub fn fingerprint(&self) -> [u8; 32] {
        canonical_sha256(&serde_json::json!({ "type": self.kind, "params": self.params.as_json() }))
    }
}

/// An action after the gate, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedAction {
    pub id: Uuid,
    pub proposal: Proposal,
    pub risk: Risk,
    pub gate: Gate,
    /// Present exactly if `gate` is [`Gate::Approval`].
    pub approval: Option<ApprovalId>,
}

/// sha256 over RFC 8785 canonical JSON: equal values hash alike, whatever the order of their keys.
pub fn canonical_sha256(value: &Value) -> [u8; 32] {
    let canonical =
        serde_json_canonicalizer::to_vec(value).expect("a JSON value has a canonical form");
    Sha256::digest(canonical).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task(params: Value) -> Proposal {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        Proposal {
            kind: ActionType::CreateTask,
            params: Params::read(ActionType::CreateTask, &params).unwrap(),
            confirmation: Confirmation::AsTrusted,
            confidence: 0.9,
            rationale: None,
        }
    }

    #[test]
    fn the_same_action_has_one_fingerprint_and_another_has_another() {
        let one = task(json!({"title": "Pay", "notes": "soon"}));
        let mut twin = task(json!({"notes": "soon", "title": "Pay"}));
        twin.confidence = 0.1;
        twin.rationale = Some("other words".into());
        assert_eq!(one.fingerprint(), twin.fingerprint());
        assert_ne!(
            one.fingerprint(),
            task(json!({"title": "Pay", "notes": "later"})).fingerprint()
        );
    }

    #[test]
    fn models_may_propose_nothing_that_leaves_the_house() {
        assert!(
            !ActionType::OPEN_TO_MODELS
                .iter()
                .any(|action| action.leaves_the_house())
        );
        for action in ActionType::OPEN_TO_MODELS {
            assert!(
                Params::fields(*action)
                    .iter()
                    .all(|field| !matches!(field.kind, FieldKind::Recipient | FieldKind::Url))
            );
        }
    }
}
