//! The shape of an action type's entry in the table: [`ActionSpec`], and the closed sets its fields are taken from.

use super::params::{Field, Params};
use super::types::ActionType;
use crate::domain::judgement::{Category, Disposition};
use crate::domain::risk::Risk;

/// All that holds for one type of action; see [`ActionType::spec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionSpec {
    /// The name a person reads on an approval.
    pub title: &'static str,
    /// The risk by the type alone; `gate::risk` raises it by the circumstances.
    pub risk: Risk,
    pub executor: Executor,
    /// Whether it can be undone after it was executed.
    pub compensable: bool,
    /// Whether its effect arrives at the sender of the message.
    pub reaches_sender: bool,
    pub open_to: OpenTo,
    /// How a message is judged if a rule does this first and sets neither category nor disposition.
    pub implies: (Category, Disposition),
    pub parameters: &'static [Field],
}

/// Who may propose an action of a type. Each may propose what the ones before it may not; later is more open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpenTo {
    /// Only the approval of a draft leads to it.
    Approvals,
    /// Users, over the API. It names a row by its id, which a rule cannot know when it is written.
    Requests,
    /// Also rules that list their senders' whole addresses: names and wildcards can be forged, and such a rule would
    /// let strangers make this system send.
    RulesWithExactSender,
    /// Also all rules.
    Rules,
    /// Also models: it carries no recipient, no URL and no id.
    Models,
}

/// The code that executes an action; the worker maps each to one of its effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executor {
    /// Changes the message in the user's mailbox, over IMAP.
    Mailbox(MailboxChange),
    /// Sends a message, over SMTP.
    Message(OutgoingMessage),
    /// Creates an event in the user's calendar, over CalDAV.
    CalendarEvent,
    /// Posts to a webhook of the tenant's.
    Webhook,
    /// Enqueues a job that writes a draft.
    Draft,
    /// Changes the user's tasks.
    Task(TaskChange),
    /// Creates or updates a contact.
    Contact,
    /// Proposes a block of time.
    Block,
    /// Snoozes something in the inbox.
    Inbox(InboxChange),
    /// Puts a notification into the inbox.
    Notification,
}

/// What is changed about a message in the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailboxChange {
    AddLabel,
    RemoveLabel,
    MarkRead,
    Star,
    Archive,
    /// Into the folder that a parameter names.
    Move,
    Trash,
    ReportSpam,
}

/// Which message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutgoingMessage {
    /// A version of a draft.
    Draft,
    New,
    Reply,
    Forward,
}

/// What is changed about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskChange {
    Create,
    Update,
    Link,
}

/// What is snoozed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InboxChange {
    /// The message itself.
    Snooze,
    /// An item that is in the inbox already.
    Defer,
}

impl Executor {
    /// Whether its effect reaches other people or systems.
    pub const fn is_external(self) -> bool {
        match self {
            Self::Message(_) | Self::CalendarEvent | Self::Webhook => true,
            Self::Mailbox(_)
            | Self::Draft
            | Self::Task(_)
            | Self::Contact
            | Self::Block
            | Self::Inbox(_)
            | Self::Notification => false,
        }
    }

    /// Whether it sends a message: those are held for a few seconds and counted against the account's hourly limit.
    pub const fn is_message(self) -> bool {
        matches!(self, Self::Message(_))
    }
}

impl ActionType {
    /// Lists the types that `proposer` may propose, in the order of [`ActionType::ALL`].
    pub fn open_to(proposer: OpenTo) -> impl Iterator<Item = Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(move |kind| kind.is_open_to(proposer))
    }

    pub fn is_open_to(self, proposer: OpenTo) -> bool {
        self.spec().open_to >= proposer
    }

    /// Returns what executes an action of this type with these parameters: a reply without a text is drafted first.
    pub fn executor(self, params: &Params) -> Executor {
        match self.spec().executor {
            Executor::Message(OutgoingMessage::Reply) if params.get("body").is_none() => {
                Executor::Draft
            }
            executor => executor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::FieldKind;
    use serde_json::json;

    fn listed(chosen: impl Fn(ActionSpec) -> bool) -> String {
        let chosen = ActionType::ALL.iter().filter(|kind| chosen(kind.spec()));
        let names: Vec<_> = chosen.map(|kind| kind.as_str()).collect();
        names.join(" ")
    }

    #[test]
    fn base_risks_are_the_documented_ones() {
        let of = |risk| listed(|spec| spec.risk == risk);
        assert_eq!(of(Risk::Low), "label unlabel mark_read star notify");
        assert_eq!(
            of(Risk::Medium),
            "archive move save_draft create_task update_task link upsert_contact schedule_block snooze defer"
        );
        assert_eq!(
            of(Risk::High),
            "send_draft reply send create_event trash spam call_webhook"
        );
        assert_eq!(of(Risk::Critical), "forward");
    }

    #[test]
    fn external_actions_are_high_risk_and_closed_to_models() {
        for kind in ActionType::ALL {
            let spec = kind.spec();
            if spec.executor.is_external() {
                assert!(spec.risk >= Risk::High, "{kind}");
                assert!(!kind.is_open_to(OpenTo::Models), "{kind}");
            }
        }
    }

    #[test]
    fn models_are_offered_no_recipient_and_no_url() {
        for kind in ActionType::open_to(OpenTo::Models) {
            for field in kind.spec().parameters {
                assert!(
                    matches!(field.kind, FieldKind::Text(_)),
                    "{kind}: {}",
                    field.name
                );
            }
        }
    }

    #[test]
    fn a_reply_without_a_text_is_drafted() {
        let executor = |params: serde_json::Value| {
            let params = Params::read(ActionType::Reply, params.as_object().unwrap()).unwrap();
            ActionType::Reply.executor(&params)
        };
        assert_eq!(executor(json!({})), Executor::Draft);
        assert_eq!(
            executor(json!({"body": "Yes."})),
            Executor::Message(OutgoingMessage::Reply)
        );
    }
}
