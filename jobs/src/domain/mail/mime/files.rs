//! The attached files of a message whose text takes work to read: [`documents`].

use super::part::Part;
use crate::domain::mail::documents;

/// Parts nested deeper are not looked at.
const DEPTH: usize = 16;
/// Documents of one message that are read.
const FILES: usize = 10;

/// Returns the contents of the message's PDF and office files, in their order.
pub(super) fn documents(message: &Part<'_>) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    collect(message, 0, &mut found);
    found
}

fn collect(part: &Part<'_>, depth: usize, found: &mut Vec<Vec<u8>>) {
    if depth > DEPTH || found.len() >= FILES {
        return;
    }
    match part.kind.main.as_str() {
        "multipart" => {
            for child in part.children().unwrap_or_default() {
                collect(&child, depth + 1, found);
            }
        }
        _ if part.is_saved_email()
            || part.kind.main == "message"
                && matches!(part.kind.sub.as_str(), "rfc822" | "global") =>
        {
            let decoded = part.decoded();
            collect(&Part::of_message(&decoded.bytes), depth + 1, found);
        }
        "image" | "audio" | "video" | "message" => {}
        _ => {
            let content = part.decoded().bytes;
            if documents::is_document(&content) {
                found.push(content.into_owned());
            }
        }
    }
}
