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

/// Returns a search key that finds all emails with this Message-ID, and maybe others; none if the id says too little.
///
/// Servers search for a part of the header's text. That text may have no brackets, or blanks and quotes that the server
/// stores in another form, so that only the longest plain run of the id is searched for.
pub(super) fn by_message_id(id: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_graphic() && !"<>\"\\".contains(c);
    let run = id
        .split(|c| !plain(c))
        .max_by_key(|run| run.len())
        .unwrap_or_default();
    (3..=900)
        .contains(&run.len())
        .then(|| format!("HEADER Message-ID \"{run}\""))
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
    fn plain_part_of_a_message_id_is_searched_for() {
        for (id, run) in [
            ("<a.b@example.org>", "a.b@example.org"),
            ("a.b@example.org", "a.b@example.org"),
            ("\"a b\"@example.org", "@example.org"),
            ("7 of 9@example.org", "9@example.org"),
            ("a\" OR ALL \"", "ALL"),
            ("id\r\nb@c", "b@c"),
        ] {
            let key = format!("HEADER Message-ID \"{run}\"");
            assert_eq!(by_message_id(id), Some(key), "{id:?}");
        }
        for id in ["", "<>", "a b c", "\u{e4}\u{f6}\u{fc}"] {
            assert_eq!(by_message_id(id), None, "{id:?}");
        }
    }
}
