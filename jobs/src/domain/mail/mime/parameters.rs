//! Structured values (RFC 2045 §5.1, RFC 2183, RFC 2231): `main/sub; name=value`, read leniently: [`structured`].

use super::charset;
use super::transfer::digit;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The bytes of a field and the number of its parameters that are read: nobody writes more, and each could cost time.
const BYTES: usize = 20_000;
const PARAMETERS: usize = 200;

/// Names in lower case, and values.
pub(super) type Parameters = Vec<(String, String)>;

/// `main/sub; name=value` with the continuations and charsets of RFC 2231, in lower case but for the values.
pub(super) fn structured(value: &[u8]) -> (String, Option<String>, Parameters) {
    let value = &value[..value.len().min(BYTES)];
    let value = charset::header(value).replace(['\r', '\n'], " ");
    let value = value.trim();
    // Some put the type into quotes, or all of it.
    let value = match value.strip_prefix('"') {
        Some(inside) => inside.trim_end_matches('"'),
        None => value,
    };
    let value = with_semicolon(value);
    let mut pieces = pieces(&value).into_iter();
    let kind = pieces.next().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split('(').next().unwrap_or_default();
    let word = |text: &str| {
        let text = text.trim_start();
        let end = text.find(|c: char| c.is_whitespace() || matches!(c, ',' | '"'));
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let (main, sub) = match kind.split_once('/') {
        Some((main, sub)) => (word(main), Some(word(sub))),
        None => (word(kind), None),
    };
    (main, sub, joined(pieces.filter_map(named).take(PARAMETERS)))
}

/// With the semicolon before the first parameter where a blank or a comma stands in its place: `text/html charset=utf-8`.
fn with_semicolon(value: &str) -> Cow<'_, str> {
    let head = value.split(';').next().unwrap_or_default();
    let Some((before, _)) = head.split_once('=') else {
        return Cow::Borrowed(value);
    };
    let is_gap = |c: char| c.is_whitespace() || c == ',';
    let sub = before.find('/').map_or(0, |slash| {
        before.len() - before[slash + 1..].trim_start().len()
    });
    match before[sub..].find(is_gap) {
        Some(end) => {
            let (kind, rest) = value.split_at(sub + end);
            Cow::Owned(format!("{kind}; {}", rest.trim_start_matches(is_gap)))
        }
        None => Cow::Borrowed(value),
    }
}

/// What stands between the semicolons that are in no quoted string and no comment. Within a value brackets and quotes are
/// text: `report(1).pdf`.
fn pieces(value: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut before, mut closes) = (0, ' ', None);
    let mut escaped = false;
    let last_end = value.rfind(')');
    for (at, c) in value.char_indices() {
        match (closes, c) {
            (Some(_), '\\') => escaped = !escaped,
            (Some(mark), c) => {
                if c == mark && !escaped {
                    closes = None;
                }
                escaped = false;
            }
            (None, '"') if before == '=' => closes = Some('"'),
            (None, '(') if before.is_whitespace() && last_end.is_some_and(|end| end > at) => {
                closes = Some(')');
            }
            (None, ';') => {
                pieces.push(&value[start..at]);
                start = at + 1;
            }
            (None, _) => {}
        }
        if !(c.is_whitespace() && before == '=') {
            before = c;
        }
    }
    pieces.push(&value[start..]);
    pieces
}

/// `Name="value"` → its name and its content.
fn named(piece: &str) -> Option<(String, String)> {
    let (name, value) = piece.split_once('=')?;
    let value = value.trim();
    let content = match value.strip_prefix('"') {
        Some(inside) => unquoted(inside),
        None => bare(value).to_owned(),
    };
    Some((name.trim().to_ascii_lowercase(), content))
}

/// Up to the quote that closes. Backslashes stay where they escape nothing: they are those of a path.
fn unquoted(inside: &str) -> String {
    let mut content = String::new();
    let mut chars = inside.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => content.push(
                chars
                    .next_if(|next| matches!(next, '"' | '\\'))
                    .unwrap_or(c),
            ),
            c => content.push(c),
        }
    }
    content
}

/// A value without quotes, without the comment behind it, and without a parameter whose semicolon is missing.
fn bare(value: &str) -> &str {
    let value = match value.split_once(" (") {
        Some((before, _)) if value.ends_with(')') => before,
        _ => value,
    };
    let next = value.match_indices(' ').map(|(at, _)| at).find(|at| {
        let word = value[at + 1..].split(' ').next().unwrap_or_default();
        word.contains('=') && !word.starts_with("=?")
    });
    value[..next.unwrap_or(value.len())].trim_end()
}

/// A value in pieces: for each its number, whether it is encoded, and its text.
type Sections = BTreeMap<u32, (bool, String)>;

/// The parameters with those in pieces (`name*0*`, `name*1`) put together, where the first of them stands.
fn joined(parameters: impl Iterator<Item = (String, String)>) -> Parameters {
    let mut all: Vec<(String, Result<String, Sections>)> = Vec::new();
    for (name, value) in parameters {
        let Some((base, section)) = name.split_once('*') else {
            all.push((name, Ok(value)));
            continue;
        };
        let number = section.trim_end_matches('*');
        let is_encoded = section.is_empty() || section.ends_with('*');
        let number = number.parse().unwrap_or_default();
        let known = all.iter_mut().find_map(|(name, value)| match value {
            Err(sections) if name == base => Some(sections),
            _ => None,
        });
        match known {
            Some(sections) => {
                sections.entry(number).or_insert((is_encoded, value));
            }
            None => {
                let first = Sections::from([(number, (is_encoded, value))]);
                all.push((base.to_owned(), Err(first)));
            }
        }
    }
    let whole = |(name, value): (String, Result<String, Sections>)| {
        (name, value.unwrap_or_else(|sections| decoded(&sections)))
    };
    all.into_iter().map(whole).collect()
}

/// The pieces as one text. The charset stands in the first, and a character may stand in two.
fn decoded(sections: &Sections) -> String {
    let mut charset = None;
    let mut bytes = Vec::new();
    for (number, (is_encoded, text)) in sections {
        let mut text = text.as_str();
        if !is_encoded {
            bytes.extend(text.bytes());
            continue;
        }
        if let (0, [label, _, rest]) = (number, &text.splitn(3, '\'').collect::<Vec<_>>()[..]) {
            (charset, text) = (Some(*label), rest);
        }
        percent_decode(text, &mut bytes);
    }
    charset::decode(&bytes, charset).into_owned()
}

fn percent_decode(text: &str, bytes: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let pair = after.first_chunk().filter(|_| *byte == b'%');
        let encoded = pair.and_then(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
        bytes.push(encoded.unwrap_or(*byte));
        rest = if encoded.is_some() {
            &after[2..]
        } else {
            after
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Either took hours when each mark was looked for anew.
    #[test]
    fn field_of_many_marks_is_soon_read() {
        let opened = format!("text/plain;{}", " (".repeat(12_000_000));
        assert_eq!(structured(opened.as_bytes()).1.as_deref(), Some("plain"));
        let starred: String = (0..1_000_000).map(|n| format!(";a{n:07}*=x")).collect();
        let (_, _, parameters) = structured(format!("text/plain{starred}").as_bytes());
        assert_eq!(parameters.len(), PARAMETERS);
    }
}
