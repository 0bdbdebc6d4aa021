//! Raw RFC 5322 bytes → [`Mail`]. Lenient: broken MIME loses what cannot be read, nothing else.
//!
//! | what | standard | module |
//! |---|---|---|
//! | header fields | RFC 5322 §2.2, §4 | `fields` |
//! | addresses, dates | RFC 5322 §3.3, §3.4, §4.3; ISO 8601 | `addresses`, `date` |
//! | encoded words | RFC 2047, RFC 2231 §5 | `encoded_word` |
//! | parts, types, file names | RFC 2045, 2046, 2183, 2231 | `part`, `parameters` |
//! | base64, quoted-printable, uuencode, yEnc | RFC 2045 §6, POSIX | `transfer`, `uuencode`, `yenc` |
//! | charsets | WHATWG Encoding | `charset` |
//! | what is shown | RFC 2046 §5.1, RFC 8621 §4.1.4 | `body` |
//! | other texts | RFC 3676, RFC 1896, RFC 5545 | `flowed`, `enriched`, `calendar` |
//! | delivery reports | RFC 3462, RFC 3464, RFC 6533 | `report` |

mod addresses;
mod body;
mod calendar;
mod charset;
mod date;
mod encoded_word;
mod enriched;
mod fields;
mod files;
mod flowed;
mod parameters;
mod part;
mod report;
mod transfer;
mod uuencode;
mod yenc;

use super::{Address, Direction, Mail, MailError, limits, text};
use body::Reader;
use fields::Fields;
use part::Part;
use std::borrow::Cow;

/// Longer values are cut before they are looked into.
const VALUE: usize = 200_000;

pub(super) fn parse(raw: &[u8]) -> Result<Mail, MailError> {
    if raw.iter().all(u8::is_ascii_whitespace) {
        return Err(MailError::Empty);
    }
    if raw.len() > limits::SOURCE_BYTES {
        return Err(MailError::TooLarge { bytes: raw.len() });
    }
    let raw = with_line_feeds(raw);
    let message = Part::of_message(&raw);
    let fields = &message.fields;
    // `{"a": 1}` and `Note: milk` have something like a header too: ask for one that only email has.
    if !fields.iter().any(|(name, _)| is_mail_header(name)) {
        return Err(MailError::NoHeader);
    }
    let mut reader = Reader::default();
    let shown = reader.read_whole(&message);
    let (body_text, truncated) = text::body(&shown, limits::BODY);
    let mut authors = authors(fields).into_iter();
    let (delivered_to, relayed_to) = delivered_to(fields);
    Ok(Mail {
        message_id: fields
            .text("message-id")
            .and_then(|id| super::message_id(&id)),
        from: authors.next(),
        other_authors: authors.collect(),
        reply_to: reply_to(fields),
        to: list(fields, "to"),
        cc: list(fields, "cc"),
        delivered_to,
        relayed_to,
        followup_to: list(fields, "mail-followup-to"),
        list_post: list_post(fields),
        subject: subject(&message),
        date: fields.text("date").and_then(|value| date::read(&value)),
        received_at: received_at(fields),
        in_reply_to: ids(fields, "in-reply-to").pop(),
        references: ids(fields, "references"),
        list_id: single(fields, "list-id"),
        list_unsubscribe: single(fields, "list-unsubscribe"),
        auto_submitted: single(fields, "auto-submitted"),
        auth_results: single(fields, "authentication-results"),
        is_report: report::is_report(&message),
        delivery_report: report::read(&message),
        direction: Direction::In,
        body_text,
        truncated,
        attachments: reader.attachments,
        thread: Vec::new(),
        headers: fields
            .iter()
            .take(limits::HEADERS)
            .map(|(name, value)| {
                let most = match name {
                    "authentication-results" => limits::RESULTS,
                    _ => limits::HEADER,
                };
                (name.to_owned(), text::line(&charset::header(value), most))
            })
            .collect(),
    })
}

/// The contents of the attached PDF and office files.
pub(super) fn documents(raw: &[u8]) -> Vec<Vec<u8>> {
    let raw = with_line_feeds(raw);
    files::documents(&Part::of_message(&raw))
}

/// Very old programs end lines with a carriage return alone.
fn with_line_feeds(raw: &[u8]) -> Cow<'_, [u8]> {
    match raw.contains(&b'\n') {
        true => Cow::Borrowed(raw),
        false => Cow::Owned(
            raw.iter()
                .map(|byte| if *byte == b'\r' { b'\n' } else { *byte })
                .collect(),
        ),
    }
}

/// Whether only email has a header of this lower-case name.
fn is_mail_header(name: &str) -> bool {
    matches!(
        name,
        "from"
            | "sender"
            | "reply-to"
            | "to"
            | "cc"
            | "bcc"
            | "subject"
            | "date"
            | "message-id"
            | "in-reply-to"
            | "references"
            | "received"
            | "return-path"
            | "delivered-to"
            | "mime-version"
            | "content-type"
            | "content-transfer-encoding"
            | "resent-from"
            | "resent-to"
            | "resent-date"
            | "dkim-signature"
    )
}

fn value<'a>(raw: &'a [u8]) -> Cow<'a, str> {
    charset::header(&raw[..raw.len().min(VALUE)])
}

/// Mail-Reply-To, where a writer wants answers that are not for a list; else Reply-To, which a list may have set.
fn reply_to(fields: &Fields<'_>) -> Vec<Address> {
    let asked = list(fields, "mail-reply-to");
    match asked.iter().any(|address| address.addr.contains('@')) {
        true => asked,
        false => list(fields, "reply-to"),
    }
}

/// Who wrote it; of an email without From, who sent it, as mail programs show it.
fn authors(fields: &Fields<'_>) -> Vec<Address> {
    let named = |name| first_list(fields, name);
    Some(named("from"))
        .filter(|authors| !authors.is_empty())
        .unwrap_or_else(|| named("sender"))
}

/// The first of these fields that names anybody. Of several the first is what mail programs show. A name without an address
/// beside one with it is a part of that one's name, torn off by a mark that was not quoted.
fn first_list(fields: &Fields<'_>, name: &str) -> Vec<Address> {
    let lists = fields.all(name).map(|raw| addresses::read(&value(raw)));
    let mut lists = lists.filter(|list| !list.is_empty()).peekable();
    let first = lists.peek().cloned().unwrap_or_default();
    let reachable = |author: &Address| author.addr.contains('@');
    let mut authors = lists
        .find(|list| list.iter().any(reachable))
        .unwrap_or(first);
    if authors.iter().any(reachable) {
        authors.retain(reachable);
    }
    authors.truncate(limits::ADDRESSES);
    authors
}

/// The addresses of all fields of this name: one may be repeated, against RFC 5322.
fn list(fields: &Fields<'_>, name: &str) -> Vec<Address> {
    fields
        .all(name)
        .flat_map(|raw| addresses::read(&value(raw)))
        .take(limits::ADDRESSES)
        .collect()
}

/// Into whose mailbox it was put: what the last server noted, above its Received field, and what stands below, which a sender
/// can forge. An email without that field was given to no server.
fn delivered_to(fields: &Fields<'_>) -> (Vec<Address>, Vec<Address>) {
    let names = [
        "delivered-to",
        "x-original-to",
        "x-delivered-to",
        "envelope-to",
        "x-envelope-to",
        "x-forwarded-to",
        "x-gm-original-to",
        "x-real-to",
        "x-rcpt-to",
        "apparently-to",
        "x-apparently-to",
        "resent-to",
    ];
    let (mut noted, mut relayed) = (Vec::new(), Vec::new());
    for name in names {
        let mut is_relayed = false;
        for (field, raw) in fields.iter() {
            is_relayed |= field == "received";
            if field == name {
                let to = if is_relayed { &mut relayed } else { &mut noted };
                to.extend(addresses::read(&value(raw)));
            }
        }
    }
    noted.truncate(limits::DELIVERIES);
    relayed.truncate(limits::DELIVERIES);
    (noted, relayed)
}

/// RFC 2369 §3.4: `<mailto:list@host>`, or `NO` for a list that takes no posts.
fn list_post(fields: &Fields<'_>) -> Option<Address> {
    let value = fields.text("list-post")?;
    let uris = value.split(['<', '>']).map(str::trim);
    let mut posts = uris.filter(|uri| {
        uri.get(..7)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"))
    });
    addresses::read(posts.next()?).into_iter().next()
}

/// The first subject, decoded.
fn subject(message: &Part<'_>) -> String {
    let raw = message.fields.first("subject").unwrap_or_default();
    let charset = message.kind.parameter("charset");
    let raw = charset::header_beside(&raw[..raw.len().min(VALUE)], charset);
    text::line(&encoded_word::decode(&raw), limits::SUBJECT)
}

/// The people of a field as text.
fn people(fields: &Fields<'_>, name: &str) -> String {
    let people: Vec<String> = list(fields, name)
        .iter()
        .take(20)
        .map(ToString::to_string)
        .collect();
    people.join(", ")
}

/// The Message-IDs of a field, or what stands there if none has its brackets.
fn ids(fields: &Fields<'_>, name: &str) -> Vec<String> {
    let Some(value) = fields.text(name) else {
        return Vec::new();
    };
    let bracketed: Vec<&str> = value
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>').map(|(id, _)| id))
        .collect();
    match bracketed.is_empty() {
        true => super::references(value.split_whitespace().filter(|word| word.contains('@'))),
        false => super::references(bracketed),
    }
}

/// When the last server had it: RFC 5321 §4.4 puts the date behind the last semicolon.
fn received_at(fields: &Fields<'_>) -> Option<chrono::DateTime<chrono::Utc>> {
    let value = fields.text("received")?;
    let (_, date) = value.rsplit_once(';')?;
    date::read(date)
}

/// A field's first value as sent: for values whose structure does not matter here.
fn single(fields: &Fields<'_>, name: &str) -> Option<String> {
    let value = text::line(&fields.text(name)?, limits::HEADER);
    (!value.is_empty()).then_some(value)
}
