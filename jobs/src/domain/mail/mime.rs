//! Raw RFC 5322 bytes → [`Mail`], over `mail-parser`. Lenient: broken MIME loses what cannot be read, nothing else.

use super::{Address, Attachment, Direction, Mail, MailError, html, limits, text};
use chrono::{DateTime, Utc};
use mail_parser::{
    HeaderName, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders, PartType,
};

pub(super) fn parse(raw: &[u8]) -> Result<Mail, MailError> {
    if raw.iter().all(u8::is_ascii_whitespace) {
        return Err(MailError::Empty);
    }
    if raw.len() > limits::SOURCE_BYTES {
        return Err(MailError::TooLarge { bytes: raw.len() });
    }
    let message = Dismantled(
        MessageParser::default()
            .parse(raw)
            .ok_or(MailError::NoHeader)?,
    );
    let message = &message.0;
    // `{"a": 1}` and `Note: milk` have something like a header too: ask for one that only mail has.
    if !message
        .headers()
        .iter()
        .any(|header| is_mail_header(&header.name))
    {
        return Err(MailError::NoHeader);
    }
    let (body_text, truncated) = body(message);
    Ok(Mail {
        message_id: message.message_id().and_then(super::message_id),
        from: message
            .from()
            .and_then(|from| from.iter().find_map(address)),
        reply_to: addresses(message, &HeaderName::ReplyTo),
        to: addresses(message, &HeaderName::To),
        cc: addresses(message, &HeaderName::Cc),
        subject: text::line(message.subject().unwrap_or_default(), limits::SUBJECT),
        date: message.date().and_then(date),
        received_at: message
            .received()
            .and_then(|received| received.date())
            .as_ref()
            .and_then(date),
        in_reply_to: ids(message.in_reply_to()).pop(),
        references: ids(message.references()),
        list_id: raw_header(message, "List-ID"),
        list_unsubscribe: raw_header(message, "List-Unsubscribe"),
        auto_submitted: raw_header(message, "Auto-Submitted"),
        auth_results: raw_header(message, "Authentication-Results"),
        direction: Direction::In,
        body_text,
        truncated,
        attachments: message
            .attachments()
            .take(limits::ATTACHMENTS)
            .map(attachment)
            .collect(),
        thread: Vec::new(),
        headers: message
            .headers()
            .iter()
            .take(limits::HEADERS)
            .filter_map(|h| header(message, h))
            .collect(),
    })
}

/// Takes a message apart part by part when it is dropped. The derived drop would call itself once per level of nested
/// `message/rfc822`, and a mail of a few hundred kilobytes can nest deep enough to overflow the stack.
struct Dismantled<'x>(Message<'x>);

impl Drop for Dismantled<'_> {
    fn drop(&mut self) {
        let mut parts = std::mem::take(&mut self.0.parts);
        while let Some(part) = parts.pop() {
            if let PartType::Message(mut nested) = part.body {
                parts.append(&mut nested.parts);
            }
        }
    }
}

fn is_mail_header(name: &HeaderName<'_>) -> bool {
    matches!(
        name,
        HeaderName::From
            | HeaderName::Sender
            | HeaderName::ReplyTo
            | HeaderName::To
            | HeaderName::Cc
            | HeaderName::Bcc
            | HeaderName::Subject
            | HeaderName::Date
            | HeaderName::MessageId
            | HeaderName::InReplyTo
            | HeaderName::References
            | HeaderName::Received
            | HeaderName::ReturnPath
            | HeaderName::MimeVersion
            | HeaderName::ContentType
            | HeaderName::ContentTransferEncoding
            | HeaderName::ResentFrom
            | HeaderName::ResentTo
            | HeaderName::ResentDate
            | HeaderName::DkimSignature
    )
}

fn address(raw: &mail_parser::Addr<'_>) -> Option<Address> {
    Address::new(raw.name(), raw.address())
}

/// A header may be repeated, against RFC 5322; all its addresses count.
fn addresses(message: &Message<'_>, name: &HeaderName<'static>) -> Vec<Address> {
    message
        .header_values(name.clone())
        .filter_map(HeaderValue::as_address)
        .flat_map(|list| list.iter())
        .take(limits::ADDRESSES)
        .filter_map(address)
        .collect()
}

fn ids(value: &HeaderValue<'_>) -> Vec<String> {
    match value {
        HeaderValue::Text(id) => super::references([id.as_ref()]),
        HeaderValue::TextList(ids) => super::references(ids.iter().map(AsRef::as_ref)),
        _ => Vec::new(),
    }
}

fn date(raw: &mail_parser::DateTime) -> Option<DateTime<Utc>> {
    raw.is_valid()
        .then(|| DateTime::from_timestamp(raw.to_timestamp(), 0))
        .flatten()
}

/// A header's text as sent: for values whose structure does not matter here.
fn raw_header(message: &Message<'_>, name: &str) -> Option<String> {
    let found = message
        .headers()
        .iter()
        .find(|header| header.name().eq_ignore_ascii_case(name))?;
    header(message, found)
        .map(|(_, value)| value)
        .filter(|value| !value.is_empty())
}

fn header(message: &Message<'_>, header: &mail_parser::Header<'_>) -> Option<(String, String)> {
    let range =
        usize::try_from(header.offset_start()).ok()?..usize::try_from(header.offset_end()).ok()?;
    let raw = String::from_utf8_lossy(message.raw_message.get(range)?);
    Some((
        header.name().to_ascii_lowercase(),
        text::line(&raw, limits::HEADER),
    ))
}

/// The text parts; where they are blank (many senders put nothing but an empty line there), the HTML parts.
fn body(message: &Message<'_>) -> (String, bool) {
    let plain = joined(message.text_bodies(), |body| match body {
        PartType::Text(text) => Some(text.to_string()),
        PartType::Html(html) => Some(html::visible_text(html)),
        _ => None,
    });
    if !plain.0.is_empty() {
        return plain;
    }
    joined(message.html_bodies(), |body| match body {
        PartType::Html(html) => Some(html::visible_text(html)),
        _ => None,
    })
}

fn joined<'a>(
    parts: impl Iterator<Item = &'a MessagePart<'a>>,
    read: impl Fn(&PartType<'a>) -> Option<String>,
) -> (String, bool) {
    let mut raw = String::new();
    for part in parts {
        if let Some(text) = read(&part.body) {
            raw.push_str(&text);
            raw.push_str("\n\n");
        }
        // Enough for the cap whatever is dropped later; a mail of ten thousand parts stops here.
        if raw.len() > limits::BODY * 8 {
            break;
        }
    }
    text::body(&raw, limits::BODY)
}

fn attachment(part: &MessagePart<'_>) -> Attachment {
    let content_type = part.content_type().map_or_else(
        || "application/octet-stream".to_owned(),
        |kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        },
    );
    Attachment {
        name: part
            .attachment_name()
            .map(|name| text::line(name, limits::HEADER))
            .filter(|name| !name.is_empty()),
        content_type: text::line(&content_type, limits::HEADER),
        size: part.len() as u64,
    }
}
