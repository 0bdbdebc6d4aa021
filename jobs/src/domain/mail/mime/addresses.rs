//! Address lists (RFC 5322 §3.4) as they are written, not as they should be: [`read`].
//!
//! Structure first, encoded words last, so that what is encoded in a name cannot become an address.

use super::encoded_word;
use crate::domain::mail::{Address, limits};

/// One entry of a list before it is judged.
#[derive(Default)]
struct Entry {
    phrase: String,
    angle: Option<String>,
    comment: String,
}

/// The addresses of a header's value, groups opened.
///
/// An entry without an address before one in angle brackets is the first half of a name with an unquoted comma
/// (`Lindqvist, Nora <nora@client.example>`).
pub(super) fn read(value: &str) -> Vec<Address> {
    let mut addresses = Vec::new();
    let mut halves: Vec<String> = Vec::new();
    for (entry, separator) in entries(value) {
        let bracketed = entry.angle.is_some();
        let Some((name, addr)) = entry.judged() else {
            continue;
        };
        match addr {
            None if separator == ',' => halves.extend(name),
            None => {
                halves.extend(name);
                addresses.extend(nameless(&mut halves));
            }
            Some(addr) if bracketed && !halves.is_empty() => {
                halves.extend(name);
                let name = std::mem::take(&mut halves).join(", ");
                addresses.extend(Address::new(Some(&name), Some(&addr)));
            }
            Some(addr) => {
                addresses.extend(nameless(&mut halves));
                addresses.extend(Address::new(name.as_deref(), Some(&addr)));
            }
        }
    }
    addresses.extend(nameless(&mut halves));
    addresses
}

/// Names that no address belongs to.
fn nameless(halves: &mut Vec<String>) -> Vec<Address> {
    halves
        .drain(..)
        .filter_map(|name| Address::new(Some(&name), None))
        .collect()
}

impl Entry {
    /// The name and the address; `None` if there is nothing at all.
    fn judged(self) -> Option<(Option<String>, Option<String>)> {
        let spoken = |text: &str| {
            let text = encoded_word::decode(text).trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let phrase = self.phrase.trim();
        let comment = spoken(&self.comment);
        let (name, addr) = match self.angle.as_deref().map(bare) {
            Some(inner) if inner.contains('@') || !phrase.contains('@') => {
                (spoken(phrase), (!inner.is_empty()).then_some(inner))
            }
            // `nora@client.example <Nora>` has them the wrong way round.
            Some(inner) => (spoken(&inner), Some(bare(phrase))),
            None if phrase.contains('@') => {
                let (name, addr) = loose(phrase);
                (name.as_deref().and_then(spoken), Some(addr))
            }
            None => (spoken(phrase), None),
        };
        let name = name.or(comment);
        (name.is_some() || addr.is_some()).then_some((name, addr))
    }
}

/// An address without brackets, with what stands around it as its name; one with blanks around its signs is closed up.
fn loose(phrase: &str) -> (Option<String>, String) {
    let words: Vec<&str> = phrase.split_whitespace().collect();
    let Some(at) = words
        .iter()
        .position(|word| word.len() > 1 && word.contains('@'))
    else {
        return (None, bare(phrase));
    };
    let word = words[at];
    if word.starts_with('@') || word.ends_with('@') || word.ends_with('.') && at + 1 < words.len() {
        return (None, bare(phrase));
    }
    let name: Vec<&str> = words
        .iter()
        .enumerate()
        .filter(|(n, _)| *n != at)
        .map(|(_, word)| *word)
        .collect();
    (Some(name.join(" ")), bare(word))
}

/// The address alone: without further brackets, blanks, `mailto:`, and the route of RFC 822.
fn bare(text: &str) -> String {
    let text: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '<' | '>'))
        .collect();
    let scheme = text
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("mailto:"));
    let text = match scheme {
        true => text[7..].split('?').next().unwrap_or_default(),
        false => &text,
    };
    let text = match text
        .strip_prefix('@')
        .and_then(|route| route.rsplit_once(':'))
    {
        Some((_, addr)) => addr,
        None => text,
    };
    text.trim_matches(|c| matches!(c, ',' | ';' | '\''))
        .to_owned()
}

/// The entries, each with what it ends in: `,`, `;`, or a blank for the last.
fn entries(value: &str) -> Vec<(Entry, char)> {
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if let Some(length) = rest
            .starts_with("=?")
            .then(|| encoded_word::length(rest))
            .flatten()
        {
            entry.phrase.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        rest = match c {
            '"' => quoted(after, &mut entry.phrase),
            '(' => comment(after, &mut entry.comment),
            '<' => {
                let end = angle_end(after);
                let angle = entry.angle.get_or_insert_default();
                angle.push_str(&after[..end]);
                after[end..].trim_start_matches('>')
            }
            ',' | ';' => {
                entries.push((std::mem::take(&mut entry), c));
                after
            }
            // A group's name, unless it is a scheme or part of an address literal.
            ':' if !entry.phrase.contains('@')
                && !entry.phrase.trim().eq_ignore_ascii_case("mailto") =>
            {
                entry = Entry::default();
                after
            }
            _ => {
                entry.phrase.push(if c.is_whitespace() { ' ' } else { c });
                after
            }
        };
    }
    entries.push((entry, ' '));
    entries
}

/// Reads a quoted string's content; one that never ends is no quote.
fn quoted<'a>(text: &'a str, phrase: &mut String) -> &'a str {
    let mut content = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                content.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => {
                phrase.push_str(&content);
                return &text[at + 1..];
            }
            _ => content.push(c),
        }
        if content.len() > limits::HEADER {
            break;
        }
    }
    text
}

/// Reads a comment with those in it; one that never ends is none.
fn comment<'a>(text: &'a str, content: &mut String) -> &'a str {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices().take(limits::HEADER) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            content.push_str(&text[..at]);
            return &text[at + 1..];
        }
    }
    text
}

/// Where the bracket closes: at the next `>`, or before the next entry if there is none before that one opens a bracket.
fn angle_end(text: &str) -> usize {
    let inner = text.trim_start_matches('<');
    let opened = text.len() - inner.len();
    let end = inner.find(['>', '<']).unwrap_or(inner.len());
    match inner[end..].starts_with('>') {
        true => opened + end,
        false => opened + inner.find([',', ';']).unwrap_or(inner.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: &str) -> Vec<String> {
        read(value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_are_read_as_people_mean_them() {
        for (value, expected) in [
            ("nora@client.example", vec!["nora@client.example"]),
            (
                "Nora L. <nora@client.example>, bob@x.example",
                vec!["Nora L. <nora@client.example>", "bob@x.example"],
            ),
            (
                "Lindqvist, Nora <nora@client.example>",
                vec!["Lindqvist, Nora <nora@client.example>"],
            ),
            (
                "\"Lindqvist, Nora\" <nora@client.example>",
                vec!["Lindqvist, Nora <nora@client.example>"],
            ),
            (
                "Lindqvist, Nora, PhD <n@x>, Berg, Bo <b@x>",
                vec!["Lindqvist, Nora, PhD <n@x>", "Berg, Bo <b@x>"],
            ),
            (
                "a@x, Lindqvist, Nora <n@x>",
                vec!["a@x", "Lindqvist, Nora <n@x>"],
            ),
            ("<<nora@client.example>>", vec!["nora@client.example"]),
            (
                "Nora <<nora@client.example>>, b@x",
                vec!["Nora <nora@client.example>", "b@x"],
            ),
            ("<mailto:nora@client.example>", vec!["nora@client.example"]),
            (
                "mailto:nora@client.example?subject=x",
                vec!["nora@client.example"],
            ),
            (
                "nora@client.example (Nora L)",
                vec!["Nora L <nora@client.example>"],
            ),
            ("a@x; b@x", vec!["a@x", "b@x"]),
            (
                "Friends: a@x, Bo <b@x>;, c@x",
                vec!["a@x", "Bo <b@x>", "c@x"],
            ),
            ("undisclosed-recipients:;", vec![]),
            (
                "=?utf-8?q?Lindqvist=2C_Nora?= <n@x>",
                vec!["Lindqvist, Nora <n@x>"],
            ),
            (
                "=?utf-8?q?Eve_=3Cboss=40x=3E?= <eve@y>",
                vec!["Eve <boss@x> <eve@y>"],
            ),
            ("=?utf-8?q?L,_N?= <n@x>", vec!["L, N <n@x>"]),
            ("\"=?utf-8?q?=C3=BC?=\" <u@x>", vec!["ü <u@x>"]),
            (
                "Nora nora@client.example",
                vec!["Nora <nora@client.example>"],
            ),
            (
                "Nora <nora@client.example",
                vec!["Nora <nora@client.example>"],
            ),
            ("nora @ client . example", vec!["nora@client.example"]),
            (
                "<@relay.example:nora@client.example>",
                vec!["nora@client.example"],
            ),
            ("n@x <n@x>", vec!["n@x <n@x>"]),
            ("\"unclosed <n@x>", vec!["unclosed <n@x>"]),
            ("Nora", vec!["Nora"]),
            ("<>", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_list_panics(value in "(<|>|\"|\\(|\\)|,|;|:|@|=\\?|\\?=|a|mailto:|[\\s\\S]){0,40}") {
            read(&value);
        }
    }
}
