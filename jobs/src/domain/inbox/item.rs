//! Inbox items: their states ([`ItemState`]), the one table of steps between them, and their sources.

use super::Bucket;
use crate::domain::history::HistoryVerb;
use crate::domain::name::{Name, TITLE_CHARS};
use crate::domain::{
    MessageId, TaskId, UserId,
    draft::send_at::SendAt,
    judgement::{Category, Disposition, Judgement, Priority},
};
use base::{JobId, hex, str_enum};
use chrono::{DateTime, Utc};

str_enum! {
    /// The state of an item. A deferred item is queued again when its time comes.
    #[schemars(rename = "InboxItemState")]
    ItemState {
        Open = "open",
        Deferred = "deferred",
        Completed = "completed",
        Dismissed = "dismissed",
        ConvertedToTask = "converted_to_task",
    }
}

str_enum! {
    /// The source of an item.
    #[schemars(rename = "InboxItemSource")]
    ItemSource {
        Email = "email",
        Manual = "manual",
        /// An email of the user's that nobody answered.
        FollowUp = "follow_up",
        /// The digest of the user's day.
        Digest = "digest",
    }
}

/// A step in the life of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemStep {
    Defer(DateTime<Utc>),
    Complete,
    Dismiss,
    Convert(TaskId),
    /// Puts it back into the inbox.
    Reopen,
}

impl ItemStep {
    /// Returns the past tense, for history.
    pub const fn verb(self) -> HistoryVerb {
        match self {
            Self::Defer(_) => HistoryVerb::Deferred,
            Self::Complete => HistoryVerb::Completed,
            Self::Dismiss => HistoryVerb::Dismissed,
            Self::Convert(_) => HistoryVerb::Converted,
            Self::Reopen => HistoryVerb::Reopened,
        }
    }
}

impl ItemState {
    /// Returns the state after the step; `None` if this state does not allow it.
    pub const fn after(self, step: ItemStep) -> Option<Self> {
        match (self, step) {
            (Self::Open | Self::Deferred, ItemStep::Defer(_)) => Some(Self::Deferred),
            (Self::Open | Self::Deferred, ItemStep::Complete) => Some(Self::Completed),
            (Self::Open | Self::Deferred, ItemStep::Dismiss) => Some(Self::Dismissed),
            (Self::Open | Self::Deferred, ItemStep::Convert(_)) => Some(Self::ConvertedToTask),
            (
                Self::Deferred | Self::Completed | Self::Dismissed | Self::ConvertedToTask,
                ItemStep::Reopen,
            ) => Some(Self::Open),
            _ => None,
        }
    }
}

/// The requested time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Bucket(Bucket),
    Wish(SendAt),
}

impl Until {
    /// Reads a bucket, RFC 3339, `tomorrow 09:00` or `monday 09:00`.
    pub fn parse(text: &str) -> Option<Self> {
        match Bucket::parse(text.trim()) {
            Some(bucket) => Some(Self::Bucket(bucket)),
            None => SendAt::parse(text).map(Self::Wish),
        }
    }
}

/// An inbox item to be inserted.
#[derive(Clone, Debug, PartialEq)]
pub struct NewItem {
    /// `None`: every user of the tenant.
    pub owner: Option<UserId>,
    pub source: ItemSource,
    /// The source's name for it: items with the same name are added once.
    pub dedupe_key: String,
    pub title: Name,
    /// The reason, for the user.
    pub rationale: String,
    pub priority: Priority,
    pub message: Option<MessageId>,
    pub job: Option<JobId>,
}

impl NewItem {
    /// Builds the item of a message, of medium priority. It is named by the message's content, so that a copy does not
    /// add another.
    pub fn of_mail(subject: &str, content_hash: &[u8; 32], message: MessageId) -> Self {
        Self {
            owner: None,
            source: ItemSource::Email,
            dedupe_key: hex(content_hash),
            title: title_of(subject),
            rationale: String::new(),
            priority: Priority::Medium,
            message: Some(message),
            job: None,
        }
    }
}

/// The subject, cut to the length of a title.
pub fn title_of(subject: &str) -> Name {
    let plain = subject.replace(char::is_control, " ");
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.chars().take(TITLE_CHARS).collect();
    Name::parse(&short, TITLE_CHARS)
        .or_else(|_| Name::parse("An email without a subject", TITLE_CHARS))
        .expect("a title of ours is a name")
}

/// Whether a message with this result needs a person: it asks for an answer, a decision or a piece of work.
pub fn asks_for_action(judgement: &Judgement) -> bool {
    let asked = matches!(
        judgement.category,
        Category::NeedsResponse | Category::NeedsApproval | Category::Scheduling | Category::Task
    );
    match judgement.disposition {
        Disposition::Ignore => false,
        Disposition::Respond => true,
        Disposition::Notify => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ItemState::{Completed, ConvertedToTask, Deferred, Dismissed, Open};

    #[test]
    fn table_of_steps_is_this_one() {
        let steps = [
            ItemStep::Defer(DateTime::UNIX_EPOCH),
            ItemStep::Complete,
            ItemStep::Dismiss,
            ItemStep::Convert(TaskId::new()),
            ItemStep::Reopen,
        ];
        let open = [
            Some(Deferred),
            Some(Completed),
            Some(Dismissed),
            Some(ConvertedToTask),
        ];
        for state in ItemState::ALL {
            let found = steps.map(|step| state.after(step));
            let expected = match state {
                Open => [open[0], open[1], open[2], open[3], None],
                Deferred => [open[0], open[1], open[2], open[3], Some(Open)],
                Completed | Dismissed | ConvertedToTask => [None, None, None, None, Some(Open)],
            };
            assert_eq!(found, expected, "{state}");
        }
    }

    #[test]
    fn any_subject_makes_a_title() {
        let text = |subject: &str| title_of(subject).as_str().to_owned();
        assert_eq!(text(" Pay\u{0}\r\n Ada "), "Pay Ada");
        assert_eq!(text(" \n"), "An email without a subject");
        assert_eq!(text(&"ü ".repeat(300)).chars().count(), 199);
    }

    #[test]
    fn until_is_a_bucket_or_a_moment() {
        assert_eq!(
            Until::parse("this_week"),
            Some(Until::Bucket(Bucket::ThisWeek))
        );
        assert!(matches!(
            Until::parse("tomorrow 09:00"),
            Some(Until::Wish(_))
        ));
        assert!(matches!(
            Until::parse("2026-12-01T09:00:00Z"),
            Some(Until::Wish(_))
        ));
        assert_eq!(Until::parse("later"), None);
    }
}
