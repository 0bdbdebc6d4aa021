//! Every type of action and what holds for it: [`ActionType::spec`]. A new type is one variant and one arm here.

use super::field::{connection, optional, recipient, text};
use super::spec::{
    ActionSpec, Executor, InboxChange, MailboxChange, MessageSource, OpenTo, TaskChange,
};
use crate::domain::judgement::{Category, Disposition};
use crate::domain::risk::Risk;
use base::str_enum;

str_enum! {
    /// The types of actions.
    ActionType {
        Label = "label",
        Unlabel = "unlabel",
        MarkRead = "mark_read",
        Star = "star",
        Notify = "notify",
        DigestAdd = "digest_add",
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
        SendDigest = "send_digest",
        CreateEvent = "create_event",
        Trash = "trash",
        Spam = "spam",
        CallWebhook = "call_webhook",
        Unsubscribe = "unsubscribe",
    }
}

impl ActionType {
    /// Returns what holds for this type.
    pub const fn spec(self) -> ActionSpec {
        match self {
            Self::Label => ActionSpec {
                title: "Label the message",
                risk: Risk::Low,
                executor: Executor::Mailbox(MailboxChange::AddLabel),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Models,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const { &[text("label", 64).in_summary()] },
            },
            Self::Unlabel => ActionSpec {
                title: "Remove a label",
                risk: Risk::Low,
                executor: Executor::Mailbox(MailboxChange::RemoveLabel),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const { &[text("label", 64).in_summary()] },
            },
            Self::MarkRead => ActionSpec {
                title: "Mark as read",
                risk: Risk::Low,
                executor: Executor::Mailbox(MailboxChange::MarkRead),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Models,
                implies: (Category::Notification, Disposition::Ignore),
                parameters: &[],
            },
            Self::Star => ActionSpec {
                title: "Star the message",
                risk: Risk::Low,
                executor: Executor::Mailbox(MailboxChange::Star),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Models,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: &[],
            },
            Self::Notify => ActionSpec {
                title: "Notify you",
                risk: Risk::Low,
                executor: Executor::Notification,
                compensable: false,
                reaches_sender: false,
                open_to: OpenTo::Models,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const { &[text("text", 300).in_summary()] },
            },
            Self::DigestAdd => ActionSpec {
                title: "Add to the digest",
                risk: Risk::Low,
                executor: Executor::DigestEntry,
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Newsletter, Disposition::Ignore),
                parameters: const { &[optional("note", 300).in_summary()] },
            },
            Self::Archive => ActionSpec {
                title: "Archive the message",
                risk: Risk::Medium,
                executor: Executor::Mailbox(MailboxChange::Archive),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Models,
                implies: (Category::Notification, Disposition::Ignore),
                parameters: &[],
            },
            Self::Move => ActionSpec {
                title: "Move the message",
                risk: Risk::Medium,
                executor: Executor::Mailbox(MailboxChange::Move),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const { &[text("folder", 128).in_summary()] },
            },
            Self::SaveDraft => ActionSpec {
                title: "Draft a reply",
                risk: Risk::Medium,
                executor: Executor::Draft,
                compensable: false,
                reaches_sender: true,
                open_to: OpenTo::Models,
                implies: (Category::NeedsResponse, Disposition::Respond),
                parameters: const { &[optional("instructions", 1_000).in_summary()] },
            },
            Self::CreateTask => ActionSpec {
                title: "Create a task",
                risk: Risk::Medium,
                executor: Executor::Task(TaskChange::Create),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Models,
                implies: (Category::Task, Disposition::Notify),
                parameters: const {
                    &[
                        text("title", 200).in_summary(),
                        optional("project", 100),
                        optional("due", 40),
                        optional("priority", 10),
                        optional("notes", 1_000),
                    ]
                },
            },
            Self::UpdateTask => ActionSpec {
                title: "Update a task",
                risk: Risk::Medium,
                executor: Executor::Task(TaskChange::Update),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Task, Disposition::Notify),
                parameters: const { &[text("task_id", 64), text("status", 20)] },
            },
            Self::Link => ActionSpec {
                title: "Link a task",
                risk: Risk::Medium,
                executor: Executor::Task(TaskChange::Link),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Requests,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const { &[text("task_id", 36), optional("item_id", 36)] },
            },
            Self::UpsertContact => ActionSpec {
                title: "Save a contact",
                risk: Risk::Medium,
                executor: Executor::Contact,
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const {
                    &[
                        text("name", 200).in_summary(),
                        optional("email", 320),
                        optional("notes", 1_000),
                    ]
                },
            },
            Self::ScheduleBlock => ActionSpec {
                title: "Block time",
                risk: Risk::Medium,
                executor: Executor::Block,
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Scheduling, Disposition::Notify),
                parameters: const { &[text("title", 200).in_summary(), optional("minutes", 4)] },
            },
            Self::Snooze => ActionSpec {
                title: "Defer the message",
                risk: Risk::Medium,
                executor: Executor::Inbox(InboxChange::Snooze),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Models,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const { &[text("until", 40).in_summary()] },
            },
            Self::Defer => ActionSpec {
                title: "Defer an inbox item",
                risk: Risk::Medium,
                executor: Executor::Inbox(InboxChange::Defer),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Requests,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const {
                    &[
                        text("item_id", 36),
                        optional("until", 40).in_summary(),
                        optional("bucket", 20),
                    ]
                },
            },
            Self::SendDraft => ActionSpec {
                title: "Send a draft",
                risk: Risk::High,
                executor: Executor::Message(MessageSource::Draft),
                compensable: false,
                reaches_sender: false,
                open_to: OpenTo::Approvals,
                implies: (Category::NeedsResponse, Disposition::Respond),
                parameters: const {
                    &[
                        text("draft_id", 36),
                        text("version", 10),
                        optional("content_hash", 64),
                    ]
                },
            },
            Self::Reply => ActionSpec {
                title: "Send a reply",
                risk: Risk::High,
                executor: Executor::Message(MessageSource::Reply),
                compensable: false,
                reaches_sender: true,
                open_to: OpenTo::RulesWithExactSender,
                implies: (Category::NeedsResponse, Disposition::Respond),
                parameters: const {
                    &[
                        optional("instructions", 1_000).in_summary(),
                        optional("body", 5_000).in_summary(),
                    ]
                },
            },
            Self::Send => ActionSpec {
                title: "Send a message",
                risk: Risk::High,
                executor: Executor::Message(MessageSource::New),
                compensable: false,
                reaches_sender: false,
                open_to: OpenTo::RulesWithExactSender,
                implies: (Category::NeedsResponse, Disposition::Respond),
                parameters: const {
                    &[
                        recipient("to").in_summary(),
                        text("subject", 300),
                        text("body", 5_000),
                    ]
                },
            },
            Self::Forward => ActionSpec {
                title: "Forward the message",
                // A whole message goes to someone who took no part in it.
                risk: Risk::Critical,
                executor: Executor::Message(MessageSource::Forward),
                compensable: false,
                reaches_sender: false,
                open_to: OpenTo::RulesWithExactSender,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const { &[recipient("to").in_summary(), optional("note", 1_000)] },
            },
            Self::SendDigest => ActionSpec {
                title: "Send your digest",
                risk: Risk::High,
                executor: Executor::Message(MessageSource::Digest),
                compensable: false,
                reaches_sender: false,
                open_to: OpenTo::Approvals,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const { &[text("digest_id", 36)] },
            },
            Self::CreateEvent => ActionSpec {
                title: "Create an event",
                risk: Risk::High,
                executor: Executor::CalendarEvent,
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Scheduling, Disposition::Notify),
                parameters: const {
                    &[
                        text("title", 200).in_summary(),
                        text("start", 40),
                        optional("minutes", 4),
                        optional("notes", 1_000),
                    ]
                },
            },
            Self::Trash => ActionSpec {
                title: "Delete the message",
                risk: Risk::High,
                executor: Executor::Mailbox(MailboxChange::Trash),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Spam, Disposition::Ignore),
                parameters: &[],
            },
            Self::Spam => ActionSpec {
                title: "Report as spam",
                risk: Risk::High,
                executor: Executor::Mailbox(MailboxChange::ReportSpam),
                compensable: true,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Spam, Disposition::Ignore),
                parameters: &[],
            },
            Self::CallWebhook => ActionSpec {
                title: "Call a webhook",
                risk: Risk::High,
                executor: Executor::Webhook,
                compensable: false,
                reaches_sender: false,
                open_to: OpenTo::RulesWithExactSender,
                implies: (Category::Fyi, Disposition::Notify),
                parameters: const { &[connection("connection")] },
            },
            Self::Unsubscribe => ActionSpec {
                title: "Unsubscribe from the list",
                // It tells a sender that somebody reads here; no trust lets it run by itself.
                risk: Risk::Critical,
                executor: Executor::Unsubscribe,
                compensable: false,
                reaches_sender: false,
                open_to: OpenTo::Rules,
                implies: (Category::Notification, Disposition::Notify),
                parameters: &[],
            },
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::action::FieldKind;

    fn listed(chosen: impl Fn(ActionSpec) -> bool) -> String {
        let chosen = ActionType::ALL.iter().filter(|kind| chosen(kind.spec()));
        let names: Vec<_> = chosen.map(|kind| kind.as_str()).collect();
        names.join(" ")
    }

    #[test]
    fn base_risks_are_the_documented_ones() {
        let of = |risk| listed(|spec| spec.risk == risk);
        assert_eq!(
            of(Risk::Low),
            "label unlabel mark_read star notify digest_add"
        );
        assert_eq!(
            of(Risk::Medium),
            "archive move save_draft create_task update_task link upsert_contact schedule_block snooze defer"
        );
        assert_eq!(
            of(Risk::High),
            "send_draft reply send send_digest create_event trash spam call_webhook"
        );
        assert_eq!(of(Risk::Critical), "forward unsubscribe");
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
    fn models_are_offered_no_recipient_and_no_connection() {
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
}
