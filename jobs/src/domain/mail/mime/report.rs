//! Delivery reports (RFC 3464, RFC 6533) → [`DeliveryReport`]: the recipients' states and the email that came back. Also those of
//! servers that write them as text: qmail (QSBMF) and Exim.

use super::fields::{Fields, take_line};
use super::part::Part;
use crate::domain::mail::{DeliveryReport, OWN_ID, message_id};
use std::borrow::Cow;

/// How a report of qmail begins (<https://cr.yp.to/proto/qsbmf.txt>).
const QSBMF: &str = "Hi. This is the";

/// Whether it is a report (RFC 3462), or one that a gateway put beside a text of its own, or nothing but a report's part.
pub(super) fn is_report(message: &Part<'_>) -> bool {
    message.kind.is("multipart", "report") || is_status(message) || wrapped(message).is_some()
}

/// Whether the part is what programs read of a report, and not a file that a person attached.
fn is_status(part: &Part<'_>) -> bool {
    let kind = &part.kind;
    let is_named = matches!(
        kind.sub.as_str(),
        "delivery-status"
            | "global-delivery-status"
            | "disposition-notification"
            | "global-disposition-notification"
            | "feedback-report"
    );
    kind.main == "message" && is_named && !part.disposition.is_attachment
}

/// The parts of a report within `multipart/mixed`.
fn wrapped<'a>(message: &Part<'a>) -> Option<Vec<Part<'a>>> {
    let is_mixed = message.kind.is("multipart", "mixed");
    let children = is_mixed.then(|| message.children()).flatten()?;
    if children.iter().any(is_status) {
        return Some(children);
    }
    let mut children = children.into_iter();
    children
        .find(|part| part.kind.is("multipart", "report"))
        .map(|report| report.children().unwrap_or_default())
}

/// Reads the parts of a report; nothing of any other email.
pub(super) fn read(message: &Part<'_>) -> DeliveryReport {
    let mut report = DeliveryReport::default();
    if is_status(message) {
        read_part(message, &mut report);
        return report;
    }
    if message.kind.is("text", "plain") {
        read_text(message, &mut report);
        return report;
    }
    let has_field = |name: &str| message.fields.first(name).is_some();
    let wrapped = wrapped(message);
    let is_report = wrapped.is_some()
        || message.kind.is("multipart", "report")
        || has_field("x-failed-recipients")
        || has_field("x-ms-exchange-message-is-ndr");
    if !is_report {
        return report;
    }
    for part in wrapped.or_else(|| message.children()).unwrap_or_default() {
        read_part(&part, &mut report);
    }
    report
}

fn read_part(part: &Part<'_>, report: &mut DeliveryReport) {
    match (part.kind.main.as_str(), part.kind.sub.as_str()) {
        ("message", "delivery-status" | "global-delivery-status") => {
            report.has_status = true;
            let text = part.text().replace("\r\n", "\n");
            // The first group is about the report itself; it has no recipient.
            for group in text.split("\n\n") {
                let (fields, _) = Fields::of_message(group.as_bytes());
                report.add(|name| fields.text(name));
            }
        }
        ("message", "rfc822" | "global" | "global-headers" | "rfc822-headers")
        | ("text", "rfc822-headers")
            if report.returned.is_none() =>
        {
            report.returned = id_in(&part.decoded().bytes);
        }
        _ => {}
    }
}

/// Reads a report that is text alone: who failed as qmail names them, and the copy of the email below.
fn read_text(message: &Part<'_>, report: &mut DeliveryReport) {
    let is_named = message.fields.first("x-failed-recipients").is_some();
    let decoded = message.decoded();
    let text = decoded.bytes.trim_ascii_start();
    let is_qmail = text.starts_with(QSBMF.as_bytes());
    if !is_qmail && !is_named {
        return;
    }
    let (report_text, copy) = split_copy(text);
    report.returned = copy.and_then(id_in);
    if is_qmail {
        report.has_status = true;
        let lines = String::from_utf8_lossy(report_text).replace("\r\n", "\n");
        for paragraph in lines.split("\n\n").map(str::trim_start) {
            let recipient = paragraph.split_once(">:\n");
            let Some((address, reason)) = recipient.filter(|_| paragraph.starts_with('<')) else {
                continue;
            };
            report.add(|name| match name {
                "action" => Some(Cow::Borrowed("failed")),
                "final-recipient" => Some(Cow::Borrowed(address)),
                "diagnostic-code" => Some(Cow::Borrowed(reason)),
                _ => None,
            });
        }
    }
}

/// The text above the line that announces a copy of the email, and the copy.
fn split_copy(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = take_line(rest);
        let announces = line.starts_with(b"--") && line.windows(7).any(|word| word == b"copy of");
        if announces {
            return (&text[..text.len() - rest.len()], Some(after));
        }
        rest = after;
    }
    (text, None)
}

/// The Message-ID in the header section of an email. Of one of ours, the server may have replaced it.
fn id_in(email: &[u8]) -> Option<String> {
    let (fields, _) = Fields::of_message(email);
    let named = |name: &str| fields.text(name).and_then(|id| message_id(&id));
    named(&OWN_ID.to_ascii_lowercase()).or_else(|| named("message-id"))
}
