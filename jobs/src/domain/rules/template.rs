//! `{{subject}}` and its few siblings in the texts of a rule's actions. No logic, no nesting: text of a message is
//! never read as a template again.

use crate::domain::mail::Mail;

/// The names of the placeholders.
pub(super) const NAMES: &[&str] = &["subject", "from", "from_name", "from_address", "date"];

/// Returns the first unknown placeholder.
pub(super) fn unknown_placeholder(text: &str) -> Option<String> {
    pieces(text).find_map(|piece| match piece {
        Piece::Placeholder(name) if !NAMES.contains(&name) => Some(name.chars().take(40).collect()),
        Piece::Placeholder(_) | Piece::Text(_) => None,
    })
}

/// Fills the placeholders from the message.
pub(super) fn fill(text: &str, mail: &Mail) -> String {
    pieces(text)
        .map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Placeholder(name) => value(name, mail),
        })
        .collect()
}

enum Piece<'t> {
    Text(&'t str),
    Placeholder(&'t str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let opened = rest.find("{{").and_then(|start| {
            let end = rest[start..].find("}}")? + start;
            Some((start, end))
        });
        let piece = match opened {
            None => Piece::Text(std::mem::take(&mut rest)),
            Some((0, end)) => {
                let name = rest[2..end].trim();
                rest = &rest[end + 2..];
                return Some(Piece::Placeholder(name));
            }
            Some((start, _)) => {
                let (text, after) = rest.split_at(start);
                rest = after;
                Piece::Text(text)
            }
        };
        Some(piece)
    })
}

fn value(name: &str, mail: &Mail) -> String {
    let from = mail.from.as_ref();
    match name {
        "subject" if mail.subject.is_empty() => "(no subject)".into(),
        "subject" => mail.subject.clone(),
        "from" => mail.sender(),
        "from_name" => from
            .map(|from| from.name.clone().unwrap_or_else(|| from.addr.clone()))
            .unwrap_or_default(),
        "from_address" => from.map(|from| from.addr.clone()).unwrap_or_default(),
        "date" => mail
            .date
            .map(|date| date.date_naive().to_string())
            .unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once() {
        let mail = Mail::parse(b"From: Ann <ann@x.org>\nSubject: {{from}} {{\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\nhi")
            .unwrap();
        assert_eq!(
            fill("Re {{ subject }} of {{date}}, {{from_name}}!", &mail),
            "Re {{from}} {{ of 2026-11-23, Ann!"
        );
        assert_eq!(
            fill("no braces } { {{ here", &mail),
            "no braces } { {{ here"
        );
    }

    #[test]
    fn unknown_placeholder_is_named() {
        assert_eq!(
            unknown_placeholder("{{subject}} {{body}}").as_deref(),
            Some("body")
        );
        assert_eq!(unknown_placeholder("{{subject}}"), None);
    }
}
