//! Content transfer encodings (RFC 2045 §6), decoded leniently: [`decode`].

use super::{fields::take_line, uuencode};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use std::borrow::Cow;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A line of base64 characters that is so long is no word.
const SURE: usize = 24;

/// A decoded body.
pub(super) struct Decoded<'a> {
    /// Plain text that a mail server put in front of encoded text.
    pub(super) banner: &'a [u8],
    pub(super) bytes: Cow<'a, [u8]>,
    /// Plain text that a mailing list put behind encoded text.
    pub(super) footer: &'a [u8],
}

/// Undoes the encoding that the field names; what was not encoded after all is left as it is.
pub(super) fn decode<'a>(body: &'a [u8], encoding: &str) -> Decoded<'a> {
    // `base64 (comment)` and `"base64"` occur.
    let encoding = encoding.trim_matches(|c: char| c.is_whitespace() || c == '"');
    let encoding = encoding.split([' ', ';', '(']).next().unwrap_or_default();
    let whole = |bytes| Decoded {
        banner: b"",
        bytes,
        footer: b"",
    };
    match encoding.to_ascii_lowercase().as_str() {
        "base64" => {
            if let Some(decoded) = spaced(body) {
                return whole(Cow::Owned(decoded));
            }
            let (banner, framed) = split_banner(body);
            let (data, footer) = split_footer(framed);
            let decoded = base64(data);
            if decoded.is_empty() {
                return whole(Cow::Borrowed(body));
            }
            Decoded {
                banner,
                bytes: Cow::Owned(decoded),
                footer,
            }
        }
        "quoted-printable" => whole(Cow::Owned(quoted_printable(body))),
        "x-uuencode" | "uuencode" | "x-uue" | "uue" => {
            whole(uuencode::decode(body).map_or(Cow::Borrowed(body), Cow::Owned))
        }
        _ => whole(Cow::Borrowed(body)),
    }
}

/// Decodes what is of the alphabet and ignores the rest, as RFC 2045 §6.8 asks for. Padding ends a piece, not the text: some
/// programs encode each line by itself. The incomplete end of a piece is dropped.
pub(super) fn base64(data: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(data.len() / 4 * 3);
    for piece in data.split(|byte| *byte == b'=') {
        let mut kept: Vec<u8> = piece
            .iter()
            .copied()
            .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
            .collect();
        if kept.len() % 4 == 1 {
            kept.pop();
        }
        decoded.extend(LENIENT.decode(&kept).unwrap_or_default());
    }
    decoded
}

/// Decodes `=XX` and soft line breaks. Blanks at the end of a line were added on the way (RFC 2045 §6.7); eight-bit bytes
/// that were not encoded are text all the same.
pub(super) fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = take_line(rest);
        let line_end = &rest[line.len()..rest.len() - after.len()];
        rest = after;
        let written = line.trim_ascii_end();
        let (mut line, line_end) = match written.strip_suffix(b"=") {
            Some(continued) => (continued, &b""[..]),
            None => (written, line_end),
        };
        while let Some((byte, following)) = line.split_first() {
            let pair = following.first_chunk().filter(|_| *byte == b'=');
            let encoded = pair.and_then(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
            decoded.push(encoded.unwrap_or(*byte));
            line = if encoded.is_some() {
                &following[2..]
            } else {
                following
            };
        }
        decoded.extend(line_end);
    }
    decoded
}

/// A hexadecimal digit.
pub(super) fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Text whose base64 has blanks within its lines. Words of plain text look alike but decode to no text.
fn spaced(body: &[u8]) -> Option<Vec<u8>> {
    let body = body.trim_ascii();
    let is_encoded = |byte: &u8| is_base64(&[*byte]) || byte.is_ascii_whitespace();
    if !body.contains(&b' ') || !body.iter().all(is_encoded) {
        return None;
    }
    let digits: Vec<u8> = body
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let decoded = base64(body);
    let is_utf8 = digits.len().is_multiple_of(4) && is_plain_text(&decoded);
    // In another charset it has no control characters either, which words have soon.
    let is_long = digits.len() >= 2 * SURE && !digits.iter().all(u8::is_ascii_alphabetic);
    let is_text = is_long
        && !decoded
            .iter()
            .any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace());
    (is_utf8 || is_text).then_some(decoded)
}

/// The text in front of the first line of base64, if one follows it, and the rest.
fn split_banner(body: &[u8]) -> (&[u8], &[u8]) {
    let mut start = body;
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = take_line(rest);
        let line = line.trim_ascii();
        rest = after;
        if is_text(line) || line.len() < SURE && !is_base64(line) {
            start = after;
        } else if line.len() >= SURE || line.ends_with(b"=") {
            break;
        }
    }
    // A word alone, and base64 at the next line.
    let (word, after) = take_line(start.trim_ascii_start());
    let next = take_line(after.trim_ascii_start()).0.trim_ascii();
    let is_word = word.len() < SURE && word.trim_ascii_end().iter().all(u8::is_ascii_uppercase);
    if is_word && !next.is_empty() && is_base64(next) && !is_plain_text(&base64(word)) {
        start = after;
    }
    let (data, _) = split_footer(start);
    let digits = data.trim_ascii();
    let is_data = digits.len() >= SURE || !digits.is_empty() && is_plain_text(&base64(digits));
    match is_data {
        true => body.split_at(body.len() - start.len()),
        false => (b"", body),
    }
}

/// The lines of base64, and the text from the first line on that cannot be any.
fn split_footer(body: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = body;
    let mut padded = false;
    while !rest.is_empty() {
        let (line, after) = take_line(rest);
        let line = line.trim_ascii();
        if is_text(line) || padded && !line.is_empty() && !is_base64(line) {
            return (&body[..body.len() - rest.len()], rest);
        }
        padded |= line.ends_with(b"=");
        rest = after;
    }
    (body, b"")
}

/// Whether a line can be no base64, however broken.
fn is_text(line: &[u8]) -> bool {
    line.contains(&b' ')
        || line.len() > 4 && line.iter().all(|byte| matches!(byte, b'_' | b'-' | b'='))
        || line.contains(&b'@')
        || line.windows(3).any(|part| part == b"://")
        || line.starts_with(b"--")
}

fn is_plain_text(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes);
    text.is_ok_and(|text| !text.chars().any(|c| c.is_control() && !c.is_whitespace()))
}

fn is_base64(line: &[u8]) -> bool {
    line.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_front_of_base64_is_left_out() {
        for (body, banner, text, footer) in [
            (
                "[EXTERNAL] Take care.\n\nSGVsbG8=\n",
                "[EXTERNAL] Take care.\n",
                "Hello",
                "",
            ),
            (
                "CAUTION\nThis came from outside.\nSGVsbG8gdGhlcmUsIE1pcmEh\n",
                "CAUTION\nThis came from outside.\n",
                "Hello there, Mira!",
                "",
            ),
            (
                "[EXT]\nSGk=\n-- \nteam list\n",
                "[EXT]\n",
                "Hi",
                "-- \nteam list\n",
            ),
            ("SGkh\nThe list\nteam\n", "", "Hi!", "The list\nteam\n"),
            ("Only words\nteam\n", "", "Only words\nteam\n", ""),
            ("SGVs bG8g\ndGhl cmU=\n", "", "Hello there", ""),
            ("CAUTION\nSGVsbG8=\n", "CAUTION\n", "Hello", ""),
        ] {
            let decoded = decode(body.as_bytes(), "base64");
            let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(text_of(&decoded.bytes), text, "{body:?}");
            assert_eq!(
                text_of(decoded.banner).trim_end(),
                banner.trim_end(),
                "{body:?}"
            );
            assert_eq!(text_of(decoded.footer), footer, "{body:?}");
        }
    }

    fn read(body: &str, encoding: &str) -> (String, String) {
        let decoded = decode(body.as_bytes(), encoding);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&decoded.bytes), text(decoded.footer))
    }

    #[test]
    fn bodies_are_decoded_however_badly_they_are_encoded() {
        for (body, encoding, text, footer) in [
            ("SGk=\r\n", "base64", "Hi", ""),
            ("SG\nk", " Base64 (x)", "Hi", ""),
            ("SG!k", "base64", "Hi", ""),
            ("SGk=\nSGk=\n", "base64", "HiHi", ""),
            ("SGkh\nSA==\nSGk", "base64", "Hi!HHi", ""),
            ("SGk=\n____\n", "base64", "Hi", "____\n"),
            (
                "SGk=\n\n_______\nteam list\n",
                "base64",
                "Hi",
                "_______\nteam list\n",
            ),
            (
                "SGkh\nhttps://lists.example/team\n",
                "base64",
                "Hi!",
                "https://lists.example/team\n",
            ),
            (
                "SGk=\nteam@lists.example\n",
                "base64",
                "Hi",
                "team@lists.example\n",
            ),
            ("Hello there", "base64", "Hello there", ""),
            ("a=3Db=\nc =", "quoted-printable", "a=bc ", ""),
            ("50% =ZZ", "quoted-printable", "50% =ZZ", ""),
            ("Tür =C3=BC", "quoted-printable", "Tür ü", ""),
            (
                "a \t\r\nb= \r\nc=c3=bc\n\n",
                "quoted-printable",
                "a\r\nbcü\n\n",
                "",
            ),
            ("a=3Db", "8bit", "a=3Db", ""),
            ("begin 644 a\n\"2&D\n`\nend\n", "x-uuencode", "Hi", ""),
            ("no file", "uuencode", "no file", ""),
        ] {
            let (found, rest) = read(body, encoding);
            assert_eq!((found.as_str(), rest.as_str()), (text, footer), "{body:?}");
        }
    }
}
