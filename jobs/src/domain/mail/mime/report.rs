//! Delivery reports (RFC 3464, RFC 6533) → [`DeliveryReport`]: the recipients' states and the email that came back.

use super::fields::Fields;
use super::part::Part;
use crate::domain::mail::{DeliveryReport, OWN_ID, message_id};

/// Whether it is a report (RFC 3462), or one that a gateway put beside a text of its own.
pub(super) fn is_report(message: &Part<'_>) -> bool {
    message.kind.is("multipart", "report") || wrapped(message).is_some()
}

fn wrapped<'a>(message: &Part<'a>) -> Option<Part<'a>> {
    let is_mixed = message.kind.is("multipart", "mixed");
    let children = is_mixed.then(|| message.children()).flatten()?;
    children
        .into_iter()
        .find(|part| part.kind.is("multipart", "report"))
}

/// Reads the parts of a report; nothing of any other email.
pub(super) fn read(message: &Part<'_>) -> DeliveryReport {
    let mut report = DeliveryReport::default();
    let has_field = |name: &str| message.fields.first(name).is_some();
    let wrapped = wrapped(message);
    let is_report = wrapped.is_some()
        || message.kind.is("multipart", "report")
        || has_field("x-failed-recipients")
        || has_field("x-ms-exchange-message-is-ndr");
    if !is_report {
        return report;
    }
    let parts = wrapped.as_ref().unwrap_or(message).children();
    for part in parts.unwrap_or_default() {
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
            ("message", "rfc822" | "global" | "global-headers") | ("text", "rfc822-headers")
                if report.returned.is_none() =>
            {
                let decoded = part.decoded();
                let (fields, _) = Fields::of_message(&decoded.bytes);
                // Of an email of ours, the server may have replaced the Message-ID.
                let named = |name: &str| fields.text(name).and_then(|id| message_id(&id));
                let own = named(&OWN_ID.to_ascii_lowercase());
                report.returned = own.or_else(|| named("message-id"));
            }
            _ => {}
        }
    }
    report
}
