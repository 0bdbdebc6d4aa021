//! One mail, parsed and sanitised: [`Mail`]. The only way into it is [`Mail::parse`] (raw RFC 5322) or an [`Envelope`]
//! (JSON), so that whoever holds one may show it, match rules on it and put it before a model.
//!
//! Refuses only what is no mail at all; broken MIME, 8-bit headers and missing fields are everyday mail. Keeps no
//! attachment's content and no HTML. Its `Debug` shows nothing of the text: bodies and addresses never reach a log.

mod automatic;
mod envelope;
mod html;
mod mime;
pub mod text;
mod written;

#[cfg(test)]
mod tests;

pub use envelope::{Envelope, EnvelopeAddress, EnvelopeAttachment, EnvelopeEarlier};

pub use automatic::{is_automatic, keyword};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
pub use written::Written;

/// Bounds on what is kept of a mail, in characters unless named otherwise. Generous for people, finite for attackers.
pub mod limits {
    /// The largest mail that is read at all: the size at which big providers refuse a message.
    pub const SOURCE_BYTES: usize = 25 * 1024 * 1024;
    pub const BODY: usize = 100_000;
    pub const SUBJECT: usize = 998;
    pub const HEADER: usize = 2_000;
    pub const HEADERS: usize = 200;
    pub const ADDRESSES: usize = 500;
    pub const ADDRESS: usize = 320;
    pub const ATTACHMENTS: usize = 100;
    pub const REFERENCES: usize = 100;
    pub const THREAD: usize = 50;
    pub const EARLIER_BODY: usize = 10_000;
}

/// A parsed and sanitised mail.
#[derive(Clone, PartialEq)]
pub struct Mail {
    /// Without angle brackets.
    pub message_id: Option<String>,
    pub from: Option<Address>,
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub subject: String,
    pub date: Option<DateTime<Utc>>,
    pub received_at: Option<DateTime<Utc>>,
    pub in_reply_to: Option<String>,
    pub references: Vec<String>,
    pub list_id: Option<String>,
    pub list_unsubscribe: Option<String>,
    pub auto_submitted: Option<String>,
    pub auth_results: Option<String>,
    pub direction: Direction,
    pub body_text: String,
    /// The body was longer than [`limits::BODY`].
    pub truncated: bool,
    pub attachments: Vec<Attachment>,
    /// Earlier messages of the thread, oldest first; only an envelope brings them.
    pub thread: Vec<Earlier>,
    /// All headers as sent, names in lower case; of an envelope, the few that it can name.
    pub headers: Vec<(String, String)>,
}

/// A sender or recipient as the mail names them. Claims, not facts: anybody can write any name.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub name: Option<String>,
    /// Empty if the header holds a name only.
    pub addr: String,
}

/// Whether an email was received or sent by the mailbox's owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MessageDirection")]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    #[default]
    In,
    Out,
}

/// What is known of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub name: Option<String>,
    pub content_type: String,
    /// Size in bytes.
    pub size: u64,
}

/// An earlier message of the same thread.
#[derive(Clone, PartialEq)]
pub struct Earlier {
    pub from: Option<Address>,
    pub date: Option<DateTime<Utc>>,
    pub direction: Direction,
    pub body_text: String,
}

/// How a stored mail is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailFormat {
    Rfc822,
    Envelope,
}

/// Why something is not a mail.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("the mail is empty")]
    Empty,
    #[error("not one header of a mail was found")]
    NoHeader,
    #[error(
        "the mail has {bytes} bytes, more than the {} that are read",
        limits::SOURCE_BYTES
    )]
    TooLarge { bytes: usize },
    #[error("the envelope could not be read")]
    Envelope {
        #[source]
        source: serde_json::Error,
    },
}

impl MailError {
    /// For the user: what happened and what to do.
    pub fn user_message(&self) -> &'static str {
        match self {
            Self::Empty => "This mail is empty. Send it with its headers and text.",
            Self::NoHeader => {
                "This is not a mail: it has no mail headers. Send the original message with its headers."
            }
            Self::TooLarge { .. } => {
                "This mail is too large to read. Send it without its attachments."
            }
            Self::Envelope { .. } => {
                "This mail cannot be read. Check its fields against the API's description."
            }
        }
    }
}

impl Mail {
    /// Reads raw RFC 5322 bytes.
    ///
    /// # Errors
    /// Only if the bytes are no mail at all.
    pub fn parse(raw: &[u8]) -> Result<Self, MailError> {
        mime::parse(raw)
    }

    /// Reads a mail the way it was stored.
    ///
    /// # Errors
    /// As [`Mail::parse`]; an envelope's JSON may not fit.
    pub fn from_source(format: MailFormat, source: &[u8]) -> Result<Self, MailError> {
        match format {
            MailFormat::Rfc822 => Self::parse(source),
            MailFormat::Envelope => serde_json::from_slice::<Envelope>(source)
                .map_err(|source| MailError::Envelope { source })?
                .try_into(),
        }
    }

    /// sha256 over Message-ID, sender, date, subject and text: two copies that differ only in transport are one mail.
    pub fn content_hash(&self) -> [u8; 32] {
        let date = self.date.map(|date| date.timestamp().to_string());
        let sender = self.from.as_ref().map(|from| from.addr.to_lowercase());
        let mut hash = Sha256::new();
        for field in [
            self.message_id.as_deref().unwrap_or_default(),
            sender.as_deref().unwrap_or_default(),
            date.as_deref().unwrap_or_default(),
            &self.subject,
            &self.body_text,
        ] {
            // With its length in front, no field can run into the next one.
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        hash.finalize().into()
    }

    /// Whether it answers another message.
    pub fn is_reply(&self) -> bool {
        self.in_reply_to.is_some() || !self.references.is_empty()
    }

    /// `Name <address>`, the address alone, or nothing: for people to recognise the mail by.
    pub fn sender(&self) -> String {
        self.from
            .as_ref()
            .map(Address::to_string)
            .unwrap_or_default()
    }

    /// A header of the original by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the receiving server said that the sender's domain disowns this mail.
    pub fn dmarc_failed(&self) -> bool {
        self.auth_results.as_deref().is_some_and(|results| {
            let results = results.to_ascii_lowercase();
            results
                .split([';', ' '])
                .any(|result| result.trim() == "dmarc=fail")
        })
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("body_chars", &self.body_text.chars().count())
            .field("attachments", &self.attachments.len())
            .finish_non_exhaustive()
    }
}

impl Address {
    /// `None` if neither name nor address says anything.
    fn new(name: Option<&str>, addr: Option<&str>) -> Option<Self> {
        let name = name
            .map(|name| text::line(name, limits::ADDRESS))
            .filter(|name| !name.is_empty());
        let addr = text::line(addr.unwrap_or_default(), limits::ADDRESS);
        (name.is_some() || !addr.is_empty()).then_some(Self { name, addr })
    }

    /// The part after the last `@`, in lower case.
    pub fn domain(&self) -> Option<String> {
        self.addr
            .rsplit_once('@')
            .map(|(_, domain)| domain.to_lowercase())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.addr.as_str()) {
            (None, addr) => f.write_str(addr),
            (Some(name), "") => f.write_str(name),
            (Some(name), addr) => write!(f, "{name} <{addr}>"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

impl fmt::Debug for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Earlier")
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

impl MailFormat {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rfc822 => "rfc822",
            Self::Envelope => "envelope",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::Rfc822, Self::Envelope]
            .into_iter()
            .find(|format| format.as_str() == s)
    }
}

/// A Message-ID without blanks and angle brackets; `None` if nothing is left.
fn message_id(raw: &str) -> Option<String> {
    let id = text::line(raw, limits::HEADER);
    let id = id.trim_start_matches('<').trim_end_matches('>').trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// The newest references; what refers to a thread of thousands is found by its last ones as well.
fn references<'a>(raw: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut ids: Vec<_> = raw.into_iter().filter_map(message_id).collect();
    ids.drain(..ids.len().saturating_sub(limits::REFERENCES));
    ids
}
