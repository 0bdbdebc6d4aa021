//! An email that is being written for a person: how it lives ([`DraftStatus`]), what a version of it holds ([`OutgoingMessage`]), and
//! what code decides about it: [`headers`], [`original`], [`send_at`], [`plain`], [`check`], [`approval`].
//!
//! A model writes the text, and the subject of a new message. Everything else comes from our code.

pub mod approval;
pub mod check;
mod diff;
pub mod headers;
pub mod original;
pub mod plain;
pub mod send_at;
mod status;

pub use diff::{DiffLine, DiffOp, diff};
pub use status::{DraftRefused, DraftStatus, DraftStep};

use base::str_enum;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use std::fmt;

str_enum! {
    /// The kind of email to write.
    DraftMode {
        /// To the reply address of the email.
        Reply = "reply",
        /// As `reply`, with copies to all other recipients.
        ReplyAll = "reply_all",
        Compose = "compose",
        Forward = "forward",
        /// A reminder of an unanswered email.
        FollowUp = "follow_up",
        /// The next version of a draft.
        Revise = "revise",
    }
}

impl DraftMode {
    /// Reports whether the mode needs a message.
    pub const fn needs_message(self) -> bool {
        matches!(
            self,
            Self::Reply | Self::ReplyAll | Self::Forward | Self::FollowUp
        )
    }

    /// Reports whether the caller names the recipients.
    pub const fn needs_recipients(self) -> bool {
        matches!(self, Self::Compose | Self::Forward)
    }

    /// Reports whether it goes back to the sender of the message.
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Reply | Self::ReplyAll | Self::FollowUp)
    }
}

str_enum! {
    /// The tone of the text.
    #[schemars(rename = "DraftTone")]
    Tone {
        Brief = "brief",
        Friendly = "friendly",
        Detailed = "detailed",
        Calm = "calm",
        Formal = "formal",
    }
}

str_enum! {
    /// Who wrote a version of a draft.
    #[schemars(rename = "DraftOrigin")]
    Origin {
        Llm = "llm",
        User = "user",
        /// The model, from a person's instructions.
        Revise = "revise",
    }
}

str_enum! {
    /// The model's confidence, in ascending order.
    #[schemars(rename = "DraftConfidence")]
    Confidence {
        Low = "LOW",
        Medium = "MEDIUM",
        High = "HIGH",
    }
}

impl Confidence {
    /// Returns a number for comparisons.
    pub const fn as_share(self) -> f32 {
        match self {
            Self::Low => 0.3,
            Self::Medium => 0.6,
            Self::High => 0.9,
        }
    }
}

/// Everything that is needed to render a message, except its date and its Message-ID.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The sender's address; without one, that of the account that sends it.
    pub from: Option<String>,
    /// Addresses alone, without names.
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub subject: String,
    /// In angle brackets.
    pub in_reply_to: Option<String>,
    /// In angle brackets, oldest first.
    pub references: Vec<String>,
    pub body_text: String,
    /// Not before then.
    pub send_at: Option<DateTime<Utc>>,
}

impl OutgoingMessage {
    /// Returns the sha256 of all fields: exactly what was approved is sent.
    pub fn content_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        // Hashes counts and lengths as well, so that nothing can move from one field into the next.
        let mut list = |items: &[&str]| {
            hash.update((items.len() as u64).to_be_bytes());
            for item in items {
                hash.update((item.len() as u64).to_be_bytes());
                hash.update(item.as_bytes());
            }
        };
        let all = |items: &'_ [String]| -> Vec<String> { items.to_vec() };
        let send_at = self.send_at.map(|at| at.timestamp_micros().to_string());
        for items in [
            self.from.iter().cloned().collect(),
            all(&self.to),
            all(&self.cc),
            all(&self.bcc),
            vec![self.subject.clone()],
            self.in_reply_to.iter().cloned().collect(),
            all(&self.references),
            vec![self.body_text.clone()],
            send_at.into_iter().collect::<Vec<_>>(),
        ] {
            let items: Vec<&str> = items.iter().map(String::as_str).collect();
            list(&items);
        }
        hash.finalize().into()
    }
}

/// Shows no content: a body or an address must not reach a log.
impl fmt::Debug for OutgoingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMessage")
            .field(
                "recipients",
                &(self.to.len() + self.cc.len() + self.bcc.len()),
            )
            .field("body_chars", &self.body_text.chars().count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn every_field_of_a_message_is_in_its_hash() {
        let at = DateTime::UNIX_EPOCH;
        let base = OutgoingMessage {
            to: vec!["a@b.c".into()],
            subject: "Re: x".into(),
            body_text: "Yes.".into(),
            send_at: Some(at),
            ..OutgoingMessage::default()
        };
        let change = |change: fn(&mut OutgoingMessage)| {
            let mut outgoing = base.clone();
            change(&mut outgoing);
            outgoing.content_hash()
        };
        let others = [
            change(|outgoing| outgoing.from = Some("me@b.c".into())),
            change(|outgoing| outgoing.to.push("d@b.c".into())),
            change(|outgoing| outgoing.cc = std::mem::take(&mut outgoing.to)),
            change(|outgoing| outgoing.bcc = std::mem::take(&mut outgoing.to)),
            change(|outgoing| outgoing.subject.push('x')),
            change(|outgoing| outgoing.in_reply_to = Some("<1@b.c>".into())),
            change(|outgoing| outgoing.references.push("<1@b.c>".into())),
            change(|outgoing| outgoing.body_text.push('x')),
            change(|outgoing| {
                outgoing.send_at = outgoing.send_at.map(|at| at + TimeDelta::seconds(1));
            }),
        ];
        let mut hashes = others.to_vec();
        hashes.push(base.content_hash());
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), others.len() + 1);
        assert_eq!(base.content_hash(), base.clone().content_hash());
        assert!(!format!("{base:?}").contains("Yes"));
    }
}
