//! Names on the wire: folders in IMAP's own UTF-7 (RFC 3501 §5.1.3), labels as keywords, a Message-ID as something to
//! search for.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// A folder's name as the server wants it.
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

/// A keyword for a label: what a keyword may not hold becomes `_`.
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

/// The search for a Message-ID; `None` if no sound mail can have it.
pub(super) fn by_message_id(id: &str) -> Option<String> {
    let id = id.trim().trim_start_matches('<').trim_end_matches('>');
    let sound = (3..=900).contains(&id.len())
        && id
            .chars()
            .all(|c| c.is_ascii_graphic() && !"<>\"\\".contains(c));
    // With the brackets: the server looks for a part of the header, and this is all of it.
    sound.then(|| format!("HEADER Message-ID \"<{id}>\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_as_servers_name_them() {
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
    fn a_label_becomes_a_keyword_that_ends_no_command() {
        assert_eq!(keyword("Needs reply"), "Needs_reply");
        assert_eq!(keyword("a)\r\nb \\Deleted"), "a_&AA0ACg-b__Deleted");
        assert_eq!(keyword("größer"), "gr&APYA3w-er");
    }

    #[test]
    fn only_a_whole_and_harmless_message_id_is_searched_for() {
        assert_eq!(
            by_message_id("<a.b@example.org>").as_deref(),
            Some("HEADER Message-ID \"<a.b@example.org>\"")
        );
        for id in ["", "<>", "a\" OR ALL \"", "a b@c", "a\r\nb@c", "ä@c"] {
            assert_eq!(by_message_id(id), None, "{id:?}");
        }
    }
}
