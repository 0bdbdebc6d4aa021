//! Structured values (RFC 2045 §5.1, RFC 2183, RFC 2231): `main/sub; name=value`, read leniently: [`structured`].

use super::charset;
use mail_parser::{HeaderValue, parsers::MessageStream};
use std::borrow::Cow;

/// Names in lower case, and values.
pub(super) type Parameters = Vec<(String, String)>;

/// Stands for the beginning of an encoded word while a value is taken apart.
const WORD_MARK: &str = "=\u{1}?";

/// `main/sub; name=value` with the continuations and charsets of RFC 2231, in lower case but for the values.
pub(super) fn structured(value: &[u8]) -> (String, Option<String>, Parameters) {
    let value = charset::header(value).replace(['\r', '\n'], " ");
    // mail-parser would decode each encoded word by itself, and break a character that is split over two.
    let value = with_semicolon(value.trim());
    let line = format!("{value}\n").replace("=?", WORD_MARK);
    match MessageStream::new(line.as_bytes()).parse_content_type() {
        HeaderValue::ContentType(kind) => {
            let lower = |text: &str| text.trim().to_ascii_lowercase();
            let parameters = kind.attributes().unwrap_or_default().iter();
            let parameters = parameters.map(|attribute| {
                (
                    lower(&attribute.name),
                    attribute.value.replace(WORD_MARK, "=?"),
                )
            });
            (
                lower(kind.ctype()),
                kind.subtype().map(lower),
                parameters.collect(),
            )
        }
        _ => (String::new(), None, Vec::new()),
    }
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
