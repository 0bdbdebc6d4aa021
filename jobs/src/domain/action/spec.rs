//! The shape of an action type's entry in the table: [`ActionSpec`], and the closed sets its fields are taken from.

use super::field::Field;
use crate::domain::judgement::{Category, Disposition};
use crate::domain::risk::Risk;

/// All that holds for one type of action; see [`ActionType::spec`](super::ActionType::spec).
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
    /// Only our own code leads to it: the approval of a draft, a digest that its user wants by email.
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
    Message(MessageSource),
    /// Creates an event in the user's calendar, over `CalDAV`.
    CalendarEvent,
    /// Posts to a webhook of the tenant's.
    Webhook,
    /// Unsubscribes from the list that sent the message, over HTTPS.
    Unsubscribe,
    /// Enqueues a job that writes a draft.
    Draft,
    /// Changes the user's tasks.
    Task(TaskChange),
    /// Creates or updates a contact.
    Contact,
    /// Proposes a block of time.
    Block,
    /// Defers something in the inbox.
    Inbox(InboxChange),
    /// Puts the message into the next digest of its owner.
    DigestEntry,
    /// Adds an entry to the history.
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
pub enum MessageSource {
    /// A version of a draft.
    Draft,
    New,
    Reply,
    Forward,
    /// A digest, to its user alone.
    Digest,
}

/// What is changed about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskChange {
    Create,
    Update,
    Link,
}

/// What is deferred.
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
            Self::Message(_) | Self::CalendarEvent | Self::Webhook | Self::Unsubscribe => true,
            Self::Mailbox(_)
            | Self::Draft
            | Self::Task(_)
            | Self::Contact
            | Self::Block
            | Self::Inbox(_)
            | Self::DigestEntry
            | Self::Notification => false,
        }
    }

    /// Whether it sends a message: those are held for a few seconds and counted against the account's hourly limit.
    pub const fn is_message(self) -> bool {
        matches!(self, Self::Message(_))
    }
}
