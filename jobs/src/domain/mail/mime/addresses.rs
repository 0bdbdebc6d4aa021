//! Address lists (RFC 5322 §3.4) as they are written, not as they should be: [`read`].
//!
//! Structure first, encoded words last, so that what is encoded in a name cannot become an address.

use super::encoded_word;
use crate::domain::mail::deliverable::is_dot_string;
use crate::domain::mail::{Address, limits};

/// Stands for a blank of a quoted local part while an entry is judged: of no charset's, and so of no email's.
const BLANK: char = '\u{fdd0}';

/// So many brackets and quotes of a field are looked at that no other closes: each look costs time.
const OPENED: usize = 100;

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
/// (`Lindqvist, Nora <nora@client.example>`), and all of the name of one that has none.
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
            Some(addr) if !halves.is_empty() && (bracketed || name.is_none()) => {
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
            let text = encoded_word::decode(text).replace(BLANK, " ");
            let text = text.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let phrase = self.phrase.trim();
        let comment = spoken(&self.comment);
        let (name, addr) = match self.angle.as_deref().map(within_brackets) {
            Some((words, inner)) if inner.contains('@') || !phrase.contains('@') => {
                let name = spoken(phrase).or_else(|| words.as_deref().and_then(spoken));
                (name, (!inner.is_empty()).then_some(inner))
            }
            // `nora@client.example <Nora>` has them the wrong way round.
            Some((_, inner)) => (spoken(&inner), Some(bare(phrase))),
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

/// What stands in brackets: words and comments beside the address are no part of it, or an answer would go to somebody else.
fn within_brackets(angle: &str) -> (Option<String>, String) {
    match angle.trim_start().starts_with('"') {
        true => (None, bare(angle)),
        false => loose(&without_comments(angle)),
    }
}

fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    // What is longer is no address.
    let mut rest = &text[..text.floor_char_boundary(limits::HEADER)];
    while let Some((before, after)) = rest.split_once('(') {
        kept.push_str(before);
        let behind = comment(after, &mut String::new());
        if behind.len() == after.len() {
            kept.push('(');
        }
        rest = behind;
    }
    kept + rest
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
    let goes_on = words
        .get(at + 1)
        .is_some_and(|next| word.ends_with('.') || next.starts_with('.') || next.starts_with('@'));
    if word.starts_with('@') || word.ends_with('@') || goes_on {
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
    let mut local = String::new();
    let rest = match text.trim_start().strip_prefix('"') {
        Some(inside) => quoted(inside, &mut local),
        None => text,
    };
    let text: String = local
        .chars()
        .chain(rest.chars())
        .filter(|c| !c.is_whitespace() && !matches!(c, '<' | '>'))
        .collect();
    // `Nora [nora@client.example]`
    let text = match text
        .strip_prefix('[')
        .and_then(|inside| inside.strip_suffix(']'))
    {
        Some(inside) => inside.to_owned(),
        None => text,
    };
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
        .replace(BLANK, " ")
}

/// The entries, each with what it ends in: `,`, `;`, or a blank for the last.
fn entries(value: &str) -> Vec<(Entry, char)> {
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    let mut rest = value;
    let mut opened = 0;
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
            '"' if opened < OPENED => {
                let behind = quoted(after, &mut entry.phrase);
                opened += usize::from(behind.len() == after.len());
                behind
            }
            '(' if opened < OPENED => {
                let behind = comment(after, &mut entry.comment);
                opened += usize::from(behind.len() == after.len());
                behind
            }
            '<' => {
                let end = angle_end(after);
                // Of two addresses in brackets the first was part of a name whose quotes are lost.
                if let Some(name) = entry.angle.take_if(|former| former.contains('@')) {
                    entry.phrase.extend([" <", name.trim(), "> "]);
                }
                let angle = entry.angle.get_or_insert_default();
                angle.push_str(&after[..end]);
                after[end..].trim_start_matches('>')
            }
            ',' | ';' => {
                entries.push((std::mem::take(&mut entry), c));
                after
            }
            // A group's name, unless it is a scheme or part of an address literal.
            ':' if !entry.phrase.contains('@') && !ends_in_scheme(&entry.phrase) => {
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

/// `mailto`, also in the brackets that Outlook puts around it.
fn ends_in_scheme(phrase: &str) -> bool {
    let word = phrase.split_whitespace().last().unwrap_or_default();
    word.trim_start_matches('[').eq_ignore_ascii_case("mailto")
}

/// Reads a quoted string's content; one that never ends is no quote. Right before an `@` it is a local part and keeps its
/// quotes where it needs them: without them its last word would be somebody else's address.
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
                let rest = &text[at + 1..];
                match rest.starts_with('@') && (content.contains(BLANK) || !is_dot_string(&content))
                {
                    true => {
                        let local = content.replace(char::is_whitespace, &BLANK.to_string());
                        phrase.extend(["\"", local.as_str(), "\""]);
                    }
                    false => phrase.push_str(&content),
                }
                return rest;
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
    let mut escaped = false;
    for (at, c) in text.char_indices().take(limits::HEADER) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
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
mod tests;
