//! Encodes names for IMAP: folders in modified UTF-7 (RFC 3501 §5.1.3), labels as keywords, a Message-ID as a search key.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// Encodes a folder name.
pub(super) fn encode(name: &str) -> String {
    let mut wire = String::with_capacity(name.len());
    let mut foreign = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut wire, &mut foreign);
            wire.push(c);
            if c == '&' {
                wire.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                foreign.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut wire, &mut foreign);
    wire
}

fn flush(wire: &mut String, foreign: &mut Vec<u8>) {
    if !foreign.is_empty() {
        wire.push('&');
        wire.push_str(&STANDARD_NO_PAD.encode(&*foreign).replace('/', ","));
        wire.push('-');
        foreign.clear();
    }
}

/// Returns the keyword of a label, with `_` in place of characters that keywords do not allow.
pub fn keyword(label: &str) -> String {
    encode(label)
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !"(){%*\"\\]".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// Returns the search key for a Message-ID; none if the id is invalid.
pub(super) fn by_message_id(id: &str) -> Option<String> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let is_valid = (3..=900).contains(&id.len())
        && id
            .chars()
            .all(|c| c.is_ascii_graphic() && !"<>\"\\".contains(c));
    // With brackets, because the server searches for substrings of the header.
    is_valid.then(|| format!("HEADER Message-ID \"<{id}>\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_are_encoded_in_modified_utf7() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("R&D", "R&-D"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("Gelöschte Elemente", "Gel&APY-schte Elemente"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("😀", "&2D3eAA-"),
        ] {
            assert_eq!(encode(name), wire);
        }
    }

    #[test]
    fn label_becomes_a_keyword_without_special_characters() {
        assert_eq!(keyword("Needs reply"), "Needs_reply");
        assert_eq!(keyword("a)\r\nb \\Deleted"), "a_&AA0ACg-b__Deleted");
        assert_eq!(keyword("größer"), "gr&APYA3w-er");
    }

    #[test]
    fn only_a_valid_message_id_is_searched_for() {
        assert_eq!(
            by_message_id("<a.b@example.org>").as_deref(),
            Some("HEADER Message-ID \"<a.b@example.org>\"")
        );
        for id in ["", "<>", "a\" OR ALL \"", "a b@c", "a\r\nb@c", "ä@c"] {
            assert_eq!(by_message_id(id), None, "{id:?}");
        }
    }
}
