//! Emails that need no triage: sent by the tenant's own users, automatic replies, and loops. Pure.
//!
//! Emails that were judged before are found by their content hash instead ([`super::load`]).

use jobs::domain::{
    judgement::{Category, Disposition, Judgement, Priority, Sla, Source, ThreadStatus},
    mail::{Direction, Mail, keyword},
};

/// What the tenant's tables know about the addresses of an email.
#[derive(Clone, Debug, Default)]
pub(super) struct Correspondents {
    /// The sender is a user of the tenant.
    pub(super) own_sender: bool,
    /// A recipient is a user of the tenant.
    pub(super) own_recipient: bool,
    /// A user of the tenant has an address in the sender's domain.
    pub(super) own_domain: bool,
    /// The sender is one of the tenant's contacts.
    pub(super) known_sender: bool,
    /// It is a digest that we sent to its user.
    pub(super) own_digest: bool,
}

/// Why an email is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Sent by a user of the tenant to others.
    Outbound,
    /// An out-of-office or other automatic reply.
    AutoReply,
    /// A loop between servers, recognised by the number of hops.
    Loop,
    /// The report that an email of ours was not delivered.
    Bounce,
    /// A digest of ours.
    Digest,
}

/// RFC 5321 §6.3: a hundred `Received` headers indicate a loop.
const LOOP_HOPS: usize = 100;

/// Returns why the email needs no triage, if so.
pub(super) fn guard(mail: &Mail, correspondents: &Correspondents) -> Option<Guard> {
    if correspondents.own_digest {
        return Some(Guard::Digest);
    }
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
            Self::Bounce => "bounce",
            Self::Digest => "digest",
        }
    }

    pub(super) fn judgement(self) -> Judgement {
        let (category, rationale, thread_status) = match self {
            Self::Outbound => (
                Category::Fyi,
                "This email was sent by your organisation.",
                ThreadStatus::Awaiting,
            ),
            Self::AutoReply => (
                Category::Notification,
                "An automatic reply, such as an out-of-office note.",
                ThreadStatus::Fyi,
            ),
            Self::Loop => (
                Category::Notification,
                "This email loops between mail servers.",
                ThreadStatus::Fyi,
            ),
            Self::Bounce => (
                Category::Notification,
                "An email that was sent for you was not delivered; an item in the inbox says why.",
                ThreadStatus::Fyi,
            ),
            Self::Digest => (
                Category::Notification,
                "The digest that you asked for.",
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
    fn guards_stop_emails_that_need_no_triage_and_no_others() {
        let stranger = Correspondents::default();
        let own = Correspondents {
            own_sender: true,
            own_domain: true,
            ..Correspondents::default()
        };
        let internal = Correspondents {
            own_sender: true,
            own_recipient: true,
            own_domain: true,
            ..Correspondents::default()
        };
        let digest = Correspondents {
            own_digest: true,
            ..internal.clone()
        };
        let loops = "Received: from a by b\n".repeat(100) + "From: a@b.c";
        for (headers, correspondents, expected) in [
            ("From: a@b.c\nTo: d@e.f", &stranger, None),
            ("From: a@b.c\nTo: d@e.f", &own, Some(Guard::Outbound)),
            ("From: a@b.c\nTo: d@e.f", &internal, None),
            ("From: a@b.c\nTo: a@b.c", &digest, Some(Guard::Digest)),
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
