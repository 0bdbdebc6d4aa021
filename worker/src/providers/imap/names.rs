//! Encodes names for IMAP: folders in modified UTF-7 (RFC 3501 §5.1.3), labels as keywords, a Message-ID as a search key.

use async_imap::error::{Error, ValidateError};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use unicode_normalization::UnicodeNormalization;

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

/// Decodes a folder's name. What is not encoded as it should be stays as it is: some servers list names in UTF-8.
pub(super) fn decode(wire: &str) -> String {
    let mut name = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((before, after)) = rest.split_once('&') {
        name.push_str(before);
        let Some((encoded, behind)) = after.split_once('-') else {
            name.push('&');
            rest = after;
            continue;
        };
        match decoded(encoded) {
            Some(text) => {
                name.push_str(&text);
                rest = behind;
            }
            None => {
                name.push('&');
                rest = after;
            }
        }
    }
    name.push_str(rest);
    name
}

fn decoded(encoded: &str) -> Option<String> {
    if encoded.is_empty() {
        return Some("&".to_owned());
    }
    let bytes = STANDARD_NO_PAD.decode(encoded.replace(',', "/")).ok()?;
    let (pairs, odd) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    odd.is_empty()
        .then(|| String::from_utf16(&units).ok())
        .flatten()
}

/// Returns a text whose accents are one character with their letter, as most programs write it; macOS writes two.
pub(super) fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Returns a folder's name in the form in which names are the same for a person.
pub(super) fn folded(wire: &str) -> String {
    composed(&decode(wire)).to_lowercase()
}

fn flush(wire: &mut String, foreign: &mut Vec<u8>) {
    if !foreign.is_empty() {
        wire.push('&');
        wire.push_str(&STANDARD_NO_PAD.encode(&*foreign).replace('/', ","));
        wire.push('-');
        foreign.clear();
    }
}

/// Quotes a name as a server has it.
///
/// # Errors
/// If it does not fit on a line.
pub(super) fn quoted(wire: &str) -> Result<String, Error> {
    if let Some(c) = wire.chars().find(|c| matches!(c, '\r' | '\n' | '\0')) {
        return Err(Error::Validate(ValidateError(c)));
    }
    let escaped = wire.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("\"{escaped}\""))
}

/// Returns the keyword of a label, with `_` in place of characters that keywords do not allow.
pub(super) fn keyword(label: &str) -> String {
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

/// Returns the name of a label of Gmail. One that began with a backslash would be a folder of Gmail's own.
pub(super) fn gmail_label(label: &str) -> String {
    encode(&composed(label.trim().trim_start_matches('\\')))
}

/// Returns a search key that finds all emails with this Message-ID, and maybe others; none if the id says too little.
///
/// Servers search for a part of the header's text. That text may have no brackets, or blanks and quotes that the server
/// stores in another form, so that the longest plain run of the id is searched for. Some servers compare the whole text instead;
/// they find the id in its brackets.
pub(super) fn by_message_id(id: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_graphic() && !"<>\"\\".contains(c);
    let run = id
        .split(|c| !plain(c))
        .max_by_key(|run| run.len())
        .unwrap_or_default();
    if !(3..=900).contains(&run.len()) {
        return None;
    }
    let part = format!("HEADER Message-ID \"{run}\"");
    if run == id.trim_matches(['<', '>']) {
        Some(format!("OR {part} HEADER Message-ID \"<{run}>\""))
    } else {
        Some(part)
    }
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
            assert_eq!(decode(wire), name);
        }
        for odd in ["a & b", "&!!-", "&AAAA", "Entwürfe", "&APY"] {
            assert_eq!(decode(odd), odd);
        }
        assert_eq!(folded("Entwu\u{308}rfe"), folded("ENTW&ANw-RFE"));
    }

    #[test]
    fn label_becomes_a_keyword_without_special_characters() {
        assert_eq!(keyword("Needs reply"), "Needs_reply");
        assert_eq!(keyword("a)\r\nb \\Deleted"), "a_&AA0ACg-b__Deleted");
        assert_eq!(keyword("größer"), "gr&APYA3w-er");
    }

    #[test]
    fn plain_part_of_a_message_id_is_searched_for() {
        for id in ["<a.b@example.org>", "a.b@example.org"] {
            let key =
                "OR HEADER Message-ID \"a.b@example.org\" HEADER Message-ID \"<a.b@example.org>\"";
            assert_eq!(by_message_id(id).as_deref(), Some(key), "{id:?}");
        }
        for (id, run) in [
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
