//! An email as JSON, for callers that have parsed it already (a connector, a test, a form).

use super::{
    Address, Attachment, DeliveryReport, Direction, Earlier, Mail, MailError, html, limits, text,
};
use crate::domain::time::optional_moment;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The fields of an email. All are optional, since real email lacks any of them; an envelope without a sender, a subject and
/// a text is refused.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Envelope {
    /// `Message-ID`, with or without its angle brackets.
    pub message_id: Option<String>,
    pub from: Option<EnvelopeAddress>,
    pub reply_to: Vec<EnvelopeAddress>,
    pub to: Vec<EnvelopeAddress>,
    pub cc: Vec<EnvelopeAddress>,
    pub subject: String,
    #[serde(deserialize_with = "optional_moment")]
    pub date: Option<DateTime<Utc>>,
    #[serde(deserialize_with = "optional_moment")]
    pub received_at: Option<DateTime<Utc>>,
    pub in_reply_to: Option<String>,
    pub references: Vec<String>,
    pub list_id: Option<String>,
    pub list_unsubscribe: Option<String>,
    pub auto_submitted: Option<String>,
    /// `Authentication-Results` of the receiving server.
    pub auth_results: Option<String>,
    pub direction: Direction,
    pub body_text: String,
    /// Used if `body_text` is blank.
    pub body_html: Option<String>,
    pub attachments: Vec<EnvelopeAttachment>,
    /// Earlier messages of the thread, oldest first.
    pub thread: Vec<EnvelopeEarlier>,
}

/// A sender or recipient.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeAddress {
    #[serde(default)]
    pub name: Option<String>,
    pub addr: String,
}

/// An attachment, without its content.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnvelopeAttachment {
    pub name: Option<String>,
    pub content_type: Option<String>,
    /// Size in bytes.
    pub size: u64,
}

/// An earlier message of the thread.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "EnvelopeThreadMessage")]
pub struct EnvelopeEarlier {
    pub from: Option<EnvelopeAddress>,
    #[serde(deserialize_with = "optional_moment")]
    pub date: Option<DateTime<Utc>>,
    pub direction: Direction,
    pub body_text: String,
}

impl fmt::Debug for Envelope {
    /// Says nothing of the email: a request body that is logged by mistake must not leak it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").finish_non_exhaustive()
    }
}

impl TryFrom<Envelope> for Mail {
    type Error = MailError;

    fn try_from(envelope: Envelope) -> Result<Self, MailError> {
        let (mut body_text, mut truncated) = text::body(&envelope.body_text, limits::BODY);
        if body_text.is_empty()
            && let Some(html) = &envelope.body_html
        {
            (body_text, truncated) = text::body(&html::visible_text(html), limits::BODY);
        }
        let mut mail = Self {
            message_id: envelope.message_id.as_deref().and_then(super::message_id),
            from: envelope.from.and_then(address),
            other_authors: Vec::new(),
            reply_to: addresses(envelope.reply_to),
            to: addresses(envelope.to),
            cc: addresses(envelope.cc),
            delivered_to: Vec::new(),
            relayed_to: Vec::new(),
            followup_to: Vec::new(),
            list_post: None,
            subject: text::line(&envelope.subject, limits::SUBJECT),
            date: envelope.date,
            received_at: envelope.received_at,
            in_reply_to: envelope.in_reply_to.as_deref().and_then(super::message_id),
            references: super::references(envelope.references.iter().map(String::as_str)),
            list_id: header(envelope.list_id),
            list_unsubscribe: header(envelope.list_unsubscribe),
            auto_submitted: header(envelope.auto_submitted),
            auth_results: header(envelope.auth_results),
            is_report: false,
            delivery_report: DeliveryReport::default(),
            direction: envelope.direction,
            body_text,
            truncated,
            attachments: envelope
                .attachments
                .into_iter()
                .take(limits::ATTACHMENTS)
                .map(attachment)
                .collect(),
            thread: earlier(envelope.thread),
            headers: Vec::new(),
        };
        // Rules may look at headers; those that an envelope can name are there by their names.
        for (name, value) in [
            ("list-id", &mail.list_id),
            ("list-unsubscribe", &mail.list_unsubscribe),
            ("auto-submitted", &mail.auto_submitted),
            ("authentication-results", &mail.auth_results),
        ] {
            mail.headers
                .extend(value.clone().map(|value| (name.to_owned(), value)));
        }
        if mail.from.is_none() && mail.subject.is_empty() && mail.body_text.is_empty() {
            return Err(MailError::Empty);
        }
        Ok(mail)
    }
}

fn header(raw: Option<String>) -> Option<String> {
    raw.map(|raw| text::line(&raw, limits::HEADER))
        .filter(|value| !value.is_empty())
}

fn address(raw: EnvelopeAddress) -> Option<Address> {
    Address::new(raw.name.as_deref(), Some(&raw.addr))
}

fn addresses(raw: Vec<EnvelopeAddress>) -> Vec<Address> {
    raw.into_iter()
        .take(limits::ADDRESSES)
        .filter_map(address)
        .collect()
}

fn attachment(raw: EnvelopeAttachment) -> Attachment {
    Attachment {
        name: header(raw.name),
        content_type: header(raw.content_type).unwrap_or_else(|| "application/octet-stream".into()),
        size: raw.size,
        text: None,
        sha256: None,
    }
}

/// The newest messages are kept: they say most about what is open.
fn earlier(raw: Vec<EnvelopeEarlier>) -> Vec<Earlier> {
    let surplus = raw.len().saturating_sub(limits::THREAD);
    raw.into_iter()
        .skip(surplus)
        .map(|message| Earlier {
            from: message.from.and_then(address),
            date: message.date,
            direction: message.direction,
            body_text: text::body(&message.body_text, limits::EARLIER_BODY).0,
        })
        .collect()
}
