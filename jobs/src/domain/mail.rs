//! One email, parsed and sanitised: [`Mail`]. The only way into it is [`Mail::parse`] (raw RFC 5322) or an [`Envelope`]
//! (JSON), so that any holder may show it, match rules on it and put it before a model.
//!
//! Refuses only what is no email at all; broken MIME, 8-bit headers and missing fields are everyday email. Keeps no
//! attachment's content and no HTML. Its `Debug` shows nothing of the text: bodies and addresses never reach a log.

mod authentication;
mod automatic;
mod bounce;
mod deliverable;
mod documents;
mod envelope;
mod excerpt;
mod html;
mod mime;
mod own_answer;
mod own_id;
mod own_text;
mod reply_address;
pub mod text;
mod unsubscribe;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;

pub use envelope::{Envelope, EnvelopeAddress, EnvelopeAttachment, EnvelopeEarlier};

pub use automatic::{answered, is_automatic, is_machine, is_machine_address, keyword};
use base::str_enum;
pub use bounce::{Bounce, DeliveryReport, FailedRecipient};
use chrono::{DateTime, Utc};
pub use deliverable::{deliverable, needs_smtputf8};
pub use excerpt::excerpt;
pub use own_answer::OwnAnswer;
pub use own_id::OWN_ID;
pub use own_text::own_text;
pub use reply_address::foreign_reply_address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, time::Instant};
pub use unsubscribe::{NotOneClick, one_click};

/// Bounds on what is kept of an email, in characters unless named otherwise. Generous for people, finite for attackers.
pub mod limits {
    /// The largest email that is read at all: the size at which big providers refuse a message.
    pub const SOURCE_BYTES: usize = 25 * 1024 * 1024;
    pub const BODY: usize = 100_000;
    pub const SUBJECT: usize = 998;
    pub const HEADER: usize = 2_000;
    /// Of Authentication-Results: a sender adds signatures that fail, and behind them stands what counts.
    pub const RESULTS: usize = 20_000;
    pub const HEADERS: usize = 200;
    /// Bytes: the longest line (RFC 5322 §2.1.1), so the longest that a program can have written.
    pub const MESSAGE_ID: usize = 998;
    pub const ADDRESSES: usize = 500;
    pub const ADDRESS: usize = 320;
    pub const ATTACHMENTS: usize = 100;
    pub const ATTACHMENT_TEXT: usize = 4_000;
    pub const DELIVERIES: usize = 20;
    pub const REFERENCES: usize = 100;
    pub const THREAD: usize = 50;
    pub const EARLIER_BODY: usize = 10_000;
}

/// A parsed and sanitised email.
#[derive(Clone, PartialEq)]
pub struct Mail {
    /// Without angle brackets.
    pub message_id: Option<String>,
    pub from: Option<Address>,
    /// Who else wrote it, if From names several.
    pub other_authors: Vec<Address>,
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    /// Delivered-To, X-Original-To and their kin: into whose mailbox it was put, whatever To says.
    pub delivered_to: Vec<Address>,
    /// The same fields below the last server's Received field: servers on the way wrote them, or the sender.
    pub relayed_to: Vec<Address>,
    /// Mail-Followup-To: where an answer to all is wanted.
    pub followup_to: Vec<Address>,
    /// List-Post: where the list takes posts.
    pub list_post: Option<Address>,
    pub subject: String,
    pub date: Option<DateTime<Utc>>,
    pub received_at: Option<DateTime<Utc>>,
    pub in_reply_to: Option<String>,
    pub references: Vec<String>,
    pub list_id: Option<String>,
    pub list_unsubscribe: Option<String>,
    pub auto_submitted: Option<String>,
    pub auth_results: Option<String>,
    /// `multipart/report`: a bounce, a read receipt, a complaint.
    pub is_report: bool,
    /// Empty unless it is a report of a mail server about an email that it got.
    pub delivery_report: DeliveryReport,
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

/// A sender or recipient as the email names them. Claims, not facts: anybody can write any name.
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
    /// What a text file says, at most [`limits::ATTACHMENT_TEXT`] characters; of other documents, once they were read
    /// ([`document_texts`]). As untrusted as the body.
    pub text: Option<String>,
    /// sha256 over its content; an envelope does not have it.
    pub sha256: Option<[u8; 32]>,
}

/// An earlier message of the same thread.
#[derive(Clone, PartialEq)]
pub struct Earlier {
    pub from: Option<Address>,
    pub date: Option<DateTime<Utc>>,
    pub direction: Direction,
    pub body_text: String,
}

str_enum! {
    /// How a stored email is written down.
    MailFormat {
        Rfc822 = "rfc822",
        Envelope = "envelope",
    }
}

/// Why something is not an email.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("the email is empty")]
    Empty,
    #[error("not one header of an email was found")]
    NoHeader,
    #[error(
        "the email has {bytes} bytes, more than the {} that are read",
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
            Self::Empty => "This email is empty. Send it with its headers and text.",
            Self::NoHeader => {
                "This is not an email: it has no mail headers. Send the original message with its headers."
            }
            Self::TooLarge { .. } => {
                "This email is too large to read. Send it without its attachments."
            }
            Self::Envelope { .. } => {
                "This email cannot be read. Check its fields against the API's description."
            }
        }
    }
}

impl Mail {
    /// Reads raw RFC 5322 bytes.
    ///
    /// # Errors
    /// Only if the bytes are no email at all.
    pub fn parse(raw: &[u8]) -> Result<Self, MailError> {
        mime::parse(raw)
    }

    /// Whether an attachment may be a document whose text is not read yet.
    pub fn may_have_documents(&self) -> bool {
        let unread = |attachment: &Attachment| {
            let kind = &attachment.content_type;
            let others = ["image/", "audio/", "video/", "message/"];
            let may_be = !others.iter().any(|main| kind.starts_with(main));
            attachment.text.is_none() && attachment.size > 0 && may_be
        };
        self.attachments.iter().any(unread)
    }

    /// Adds the texts to the attachments with the same content.
    pub fn add_document_texts(&mut self, texts: Vec<DocumentText>) {
        for attachment in &mut self.attachments {
            let text = texts
                .iter()
                .find(|text| attachment.sha256 == Some(text.sha256));
            if let (Some(text), None) = (text, &attachment.text) {
                attachment.text = Some(text.text.clone());
            }
        }
    }

    /// Reads an email the way it was stored.
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

    /// sha256 over Message-ID, sender, date, subject, text and the contents of attachments: two copies that differ only in
    /// transport are one email. Without Message-ID and date, the way it took tells it from the next one that says the same.
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
        for attachment in &self.attachments {
            hash.update(attachment.sha256.unwrap_or_default());
        }
        if self.message_id.is_none() && self.date.is_none() {
            let received = self.headers.iter().filter(|(name, _)| name == "received");
            for (_, value) in received {
                hash.update((value.len() as u64).to_be_bytes());
                hash.update(value);
            }
        }
        hash.finalize().into()
    }

    /// Whether it answers another message.
    pub fn is_reply(&self) -> bool {
        self.in_reply_to.is_some() || !self.references.is_empty()
    }

    /// `Name <address>`, the address alone, or nothing: for people to recognise the email by.
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

    /// The addresses that it was delivered or sent to, in lower case, the most certain first: what the last server noted, To,
    /// Cc, what anybody may have noted on the way. A tagged one is followed by its owner's.
    pub fn recipient_addresses(&self) -> Vec<String> {
        let named = self.delivered_to.iter().chain(&self.to).chain(&self.cc);
        lookup_addresses(named.chain(&self.relayed_to))
    }

    /// Which of these mail accounts it came to; of an email of the owner's own, which one it left from.
    pub fn account_among<'a>(&self, accounts: &'a [String]) -> Option<&'a str> {
        let mut addresses = self.recipient_addresses();
        addresses.extend(lookup_addresses(&self.from));
        addresses.iter().find_map(|address| {
            let mut accounts = accounts.iter();
            accounts
                .find(|account| account.eq_ignore_ascii_case(address))
                .map(String::as_str)
        })
    }

    /// Whether a receiving server said that the sender's domain disowns this message.
    pub fn dmarc_failed(&self) -> bool {
        let fields = self.headers.iter();
        let results = fields.filter(|(name, _)| name == "authentication-results");
        authentication::dmarc_failed(results.map(|(_, value)| value.as_str()))
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

/// The addresses in lower case, each once, a tagged one followed by the same without its tag.
pub fn lookup_addresses<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for address in addresses {
        let addr = address.addr.to_lowercase();
        for addr in [without_tag(&addr), addr].into_iter().rev() {
            if !addr.is_empty() && !found.contains(&addr) {
                found.push(addr);
            }
        }
    }
    found
}

/// `ada+shop@x.example` → `ada@x.example`: what follows a plus is the owner's to choose (RFC 5233).
pub fn without_tag(addr: &str) -> String {
    match addr
        .rsplit_once('@')
        .map(|(local, domain)| (local.split_once('+'), domain))
    {
        Some((Some((user, _)), domain)) if !user.is_empty() => format!("{user}@{domain}"),
        _ => addr.to_owned(),
    }
}

/// The text of an attached document.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentText {
    /// Of the document's content.
    pub sha256: [u8; 32],
    pub text: String,
}

/// Reads the PDF and office files of an email, as far as the time goes. Costly, and their parsers may panic: call it where it
/// blocks nobody. Text that such a file hides is left out as far as its format says so; all of it is untrusted.
pub fn document_texts(raw: &[u8], until: Instant) -> Vec<DocumentText> {
    let mut texts = Vec::new();
    for content in mime::documents(raw) {
        if Instant::now() >= until {
            break;
        }
        let Some(found) = documents::text(&content) else {
            continue;
        };
        texts.push(DocumentText {
            sha256: Sha256::digest(&content).into(),
            text: text::body(&found, limits::ATTACHMENT_TEXT).0,
        });
    }
    texts
}

/// The Message-ID in a header section, as [`Mail::message_id`] has it, however the header is written.
pub fn message_id_in(header: &[u8]) -> Option<String> {
    Mail::parse(header).ok()?.message_id
}

/// A Message-ID without blanks and angle brackets; what servers wrote behind them is none of it. `None` if nothing is left, or
/// more than a line holds: no program has written that, and no index takes it.
fn message_id(raw: &str) -> Option<String> {
    let id = text::line(raw, limits::HEADER);
    let inner = id.find('<').map_or(id.as_str(), |start| &id[start..]);
    let inner = inner.trim_start_matches('<');
    let ends = |end: &usize| {
        let behind = inner[*end + 1..].trim_start_matches('>');
        behind.is_empty() || behind.starts_with([' ', '('])
    };
    let end = inner.match_indices('>').map(|(at, _)| at).find(ends);
    let id = inner[..end.unwrap_or(inner.len())].trim();
    (!id.is_empty() && id.len() <= limits::MESSAGE_ID).then(|| id.to_owned())
}

/// The newest references; what refers to a thread of thousands is found by its last ones as well.
fn references<'a>(raw: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut ids: Vec<_> = raw.into_iter().filter_map(message_id).collect();
    ids.drain(..ids.len().saturating_sub(limits::REFERENCES));
    ids
}
