//! Facts from the email and its thread that no model decides: the status of the thread ([`thread_status`]) and the contact with
//! the sender ([`Contact`]).

use super::guards::Correspondents;
use jobs::domain::{
    judgement::{Category, Disposition, ThreadStatus},
    mail::{Direction, Mail},
};

/// Returns the status of the thread after the judgement.
pub(super) fn thread_status(
    mail: &Mail,
    category: Category,
    disposition: Disposition,
) -> ThreadStatus {
    if mail.direction == Direction::Out {
        return ThreadStatus::Awaiting;
    }
    let answered = mail.date.is_some_and(|received| {
        mail.thread.iter().any(|earlier| {
            earlier.direction == Direction::Out && earlier.date.is_some_and(|sent| sent > received)
        })
    });
    if answered {
        return ThreadStatus::Actioned;
    }
    let needs_reply = matches!(
        category,
        Category::NeedsResponse | Category::NeedsApproval | Category::Scheduling
    );
    match disposition {
        Disposition::Respond => ThreadStatus::ToReply,
        Disposition::Notify if needs_reply => ThreadStatus::ToReply,
        Disposition::Notify | Disposition::Ignore => ThreadStatus::Fyi,
    }
}

/// Earlier contact with the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// A colleague.
    Internal,
    /// The sender is a contact of the tenant, or the thread shows that we wrote before.
    Known,
    /// Neither the thread nor the contacts of the tenant show the sender.
    Unknown,
}

impl Contact {
    /// Reads the contact from addresses and thread.
    pub(super) fn with(mail: &Mail, correspondents: &Correspondents) -> Self {
        let answered = mail
            .thread
            .iter()
            .any(|earlier| earlier.direction == Direction::Out);
        match () {
            () if correspondents.own_sender || correspondents.own_domain => Self::Internal,
            () if correspondents.known_sender || answered || mail.is_reply() => Self::Known,
            () => Self::Unknown,
        }
    }

    /// Returns whether a model may call the email cold: only for an unknown sender, because treating a customer as a cold sender
    /// costs more than the reverse.
    pub(super) const fn may_be_cold(self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Internal | Self::Known => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use jobs::domain::mail::Earlier;

    fn mail() -> Mail {
        Mail::parse(b"From: a@b.c\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\nhello").unwrap()
    }

    fn earlier(direction: Direction, date: Option<DateTime<Utc>>) -> Earlier {
        Earlier {
            from: None,
            date,
            direction,
            body_text: String::new(),
        }
    }

    #[test]
    fn thread_status_follows_from_direction_reply_and_judgement() {
        let sent = Mail {
            direction: Direction::Out,
            ..mail()
        };
        let later = mail().date.map(|date| date + TimeDelta::hours(1));
        let answered = Mail {
            thread: vec![earlier(Direction::Out, later)],
            ..mail()
        };
        for (mail, category, disposition, expected) in [
            (
                &mail(),
                Category::NeedsResponse,
                Disposition::Respond,
                ThreadStatus::ToReply,
            ),
            (
                &mail(),
                Category::Scheduling,
                Disposition::Notify,
                ThreadStatus::ToReply,
            ),
            (
                &mail(),
                Category::Newsletter,
                Disposition::Ignore,
                ThreadStatus::Fyi,
            ),
            (
                &mail(),
                Category::Task,
                Disposition::Notify,
                ThreadStatus::Fyi,
            ),
            (
                &sent,
                Category::Fyi,
                Disposition::Ignore,
                ThreadStatus::Awaiting,
            ),
            (
                &answered,
                Category::NeedsResponse,
                Disposition::Respond,
                ThreadStatus::Actioned,
            ),
        ] {
            assert_eq!(
                thread_status(mail, category, disposition),
                expected,
                "{category} {disposition}"
            );
        }
    }

    #[test]
    fn contact_is_found_in_order_of_certainty() {
        let stranger = Correspondents::default();
        let colleague = Correspondents {
            own_domain: true,
            ..Correspondents::default()
        };
        let customer = Correspondents {
            known_sender: true,
            ..Correspondents::default()
        };
        let thread = Mail {
            thread: vec![earlier(Direction::Out, None)],
            ..mail()
        };
        assert_eq!(Contact::with(&thread, &colleague), Contact::Internal);
        assert_eq!(Contact::with(&thread, &stranger), Contact::Known);
        assert_eq!(Contact::with(&mail(), &customer), Contact::Known);
        assert_eq!(Contact::with(&mail(), &stranger), Contact::Unknown);
    }

    #[test]
    fn only_an_unknown_sender_may_be_cold() {
        assert!(Contact::Unknown.may_be_cold());
        assert!(!Contact::Known.may_be_cold() && !Contact::Internal.may_be_cold());
    }
}
