//! Mail that needs no judging: what the tenant's own people sent, what a machine answered by itself, what runs in circles.
//!
//! Pure. Ignored and unsubscribed senders belong here as soon as tenants can name them; no table holds them yet. Mail that
//! was judged before is not here either: that is found by its content ([`super::load`]).

use jobs::domain::{
    judgement::{Category, Disposition, Judgement, Priority, Sla, Source, ThreadStatus},
    mail::{Direction, Mail, keyword},
};

/// What the tenant's tables say of the mail's addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Correspondents {
    /// The sender is one of the tenant's people.
    pub(super) own_sender: bool,
    /// One of the recipients is.
    pub(super) own_recipient: bool,
    /// Somebody of the tenant has an address of the sender's domain.
    pub(super) own_domain: bool,
    /// The sender is one of the tenant's contacts.
    pub(super) known_sender: bool,
}

/// Why a mail is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Sent by the tenant's own people to others.
    Outbound,
    /// An out-of-office or another automatic answer.
    AutoReply,
    /// Too many hops to be anything but a loop.
    Loop,
}

/// RFC 5321 §6.3: a server should take a hundred `Received` headers for a loop.
const LOOP_HOPS: usize = 100;

pub(super) fn guard(mail: &Mail, correspondents: &Correspondents) -> Option<Guard> {
    let sent_out =
        correspondents.own_sender && !correspondents.own_recipient && has_recipients(mail);
    if mail.direction == Direction::Out || sent_out {
        return Some(Guard::Outbound);
    }
    if is_auto_reply(mail) {
        return Some(Guard::AutoReply);
    }
    let hops = mail
        .headers
        .iter()
        .filter(|(name, _)| name == "received")
        .count();
    (hops >= LOOP_HOPS).then_some(Guard::Loop)
}

impl Guard {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::AutoReply => "auto_reply",
            Self::Loop => "loop",
        }
    }

    pub(super) fn judgement(self) -> Judgement {
        let (category, rationale, thread_status) = match self {
            Self::Outbound => (
                Category::Fyi,
                "This mail was sent by your own side.",
                ThreadStatus::Awaiting,
            ),
            Self::AutoReply => (
                Category::Notification,
                "An automatic reply, such as an absence note.",
                ThreadStatus::Fyi,
            ),
            Self::Loop => (
                Category::Notification,
                "This mail runs in circles between servers.",
                ThreadStatus::Fyi,
            ),
        };
        Judgement {
            category,
            disposition: Disposition::Ignore,
            priority: Priority::Low,
            sla: Sla::None,
            confidence: 1.0,
            rationale: rationale.into(),
            source: Source::Guard,
            rules_applied: Vec::new(),
            injection_suspected: false,
            degraded: false,
            thread_status,
        }
    }
}

fn is_auto_reply(mail: &Mail) -> bool {
    mail.auto_submitted
        .as_deref()
        .is_some_and(|value| keyword(value).eq_ignore_ascii_case("auto-replied"))
        || mail
            .header("precedence")
            .is_some_and(|value| value.eq_ignore_ascii_case("auto_reply"))
        || ["x-autoreply", "x-autorespond"]
            .iter()
            .any(|name| mail.header(name).is_some())
}

fn has_recipients(mail: &Mail) -> bool {
    !mail.to.is_empty() || !mail.cc.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(headers: &str) -> Mail {
        Mail::parse(format!("{headers}\n\nhello").as_bytes()).unwrap()
    }

    #[test]
    fn guards_stop_what_needs_no_judging_and_nothing_else() {
        let stranger = Correspondents::default();
        let own = Correspondents {
            own_sender: true,
            own_domain: true,
            ..Correspondents::default()
        };
        let among_us = Correspondents {
            own_sender: true,
            own_recipient: true,
            own_domain: true,
            ..Correspondents::default()
        };
        let loops = "Received: from a by b\n".repeat(100) + "From: a@b.c";
        for (headers, correspondents, expected) in [
            ("From: a@b.c\nTo: d@e.f", &stranger, None),
            ("From: a@b.c\nTo: d@e.f", &own, Some(Guard::Outbound)),
            ("From: a@b.c\nTo: d@e.f", &among_us, None),
            ("From: a@b.c", &own, None),
            (
                "From: a@b.c\nAuto-Submitted: auto-replied",
                &stranger,
                Some(Guard::AutoReply),
            ),
            (
                "From: a@b.c\nAuto-Submitted: auto-replied; owner-email=\"x\"",
                &stranger,
                Some(Guard::AutoReply),
            ),
            (
                "From: a@b.c\nAuto-Submitted: auto-generated",
                &stranger,
                None,
            ),
            ("From: a@b.c\nAuto-Submitted: no", &stranger, None),
            (
                "From: a@b.c\nPrecedence: AUTO_REPLY",
                &stranger,
                Some(Guard::AutoReply),
            ),
            (
                "From: a@b.c\nX-Autoreply: yes",
                &stranger,
                Some(Guard::AutoReply),
            ),
            ("From: a@b.c\nPrecedence: bulk", &stranger, None),
            (loops.as_str(), &stranger, Some(Guard::Loop)),
        ] {
            let shown = &headers[..headers.len().min(60)];
            assert_eq!(guard(&mail(headers), correspondents), expected, "{shown}");
        }
        let sent = Mail {
            direction: Direction::Out,
            ..mail("From: a@b.c")
        };
        assert_eq!(guard(&sent, &stranger), Some(Guard::Outbound));
    }
}
