//! RFC 2047 encoded words in header values: [`decode`].

use super::{charset, transfer};

/// Bytes of an encoded word's text. RFC 2047 §2 allows 75, and programs write whole subjects; but each look costs time.
const LONGEST: usize = 5_000;

/// One piece of a value.
enum Piece<'a> {
    Plain(&'a str),
    Word { charset: &'a str, bytes: Vec<u8> },
}

/// The value with its encoded words decoded. Blanks between two of them vanish, and two of one charset are joined before
/// they are decoded: senders split characters between them, against the RFC. What is no encoded word stays as it is.
pub(super) fn decode(value: &str) -> String {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut rest = value;
    let mut plain_from = value;
    while let Some(start) = rest.find("=?") {
        let Some((charset, bytes, length)) = word(&rest[start..]) else {
            rest = &rest[start + 2..];
            continue;
        };
        let plain = &plain_from[..plain_from.len() - rest.len() + start];
        let between_words = matches!(pieces.last(), Some(Piece::Word { .. }))
            && plain.chars().all(char::is_whitespace);
        if !between_words && !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        match pieces.last_mut() {
            Some(Piece::Word {
                charset: former,
                bytes: joined,
            }) if former.eq_ignore_ascii_case(charset) => {
                joined.extend(bytes);
            }
            _ => pieces.push(Piece::Word { charset, bytes }),
        }
        rest = &rest[start + length..];
        plain_from = rest;
    }
    pieces.push(Piece::Plain(plain_from));
    let mut text = String::with_capacity(value.len());
    for piece in pieces {
        match piece {
            Piece::Plain(plain) => text.push_str(plain),
            Piece::Word { charset, bytes } => {
                text.push_str(&charset::decode(&bytes, Some(charset)));
            }
        }
    }
    text
}

/// How long the encoded word is that the text begins with.
pub(super) fn length(text: &str) -> Option<usize> {
    word(text).map(|(_, _, length)| length)
}

/// `=?charset*language?B?text?=` at the start: its charset, its bytes, and how long it is. Blanks inside are tolerated.
fn word(text: &str) -> Option<(&str, Vec<u8>, usize)> {
    let inner = text.strip_prefix("=?")?;
    let (charset, after) = inner.split_once('?')?;
    let (encoding, after) = after.split_once('?')?;
    let end = after[..after.floor_char_boundary(LONGEST)].find("?=")?;
    let payload = &after[..end];
    let charset = charset.split('*').next().unwrap_or_default();
    let sound =
        !charset.is_empty() && charset.len() <= 40 && charset.bytes().all(|c| c.is_ascii_graphic());
    if !sound {
        return None;
    }
    let bytes = match encoding {
        "B" | "b" => transfer::base64(payload.as_bytes()),
        "Q" | "q" => q(payload, charset),
        _ => return None,
    };
    let length = text.len() - after.len() + end + 2;
    Some((charset, bytes, length))
}

/// Like quoted-printable, with `_` for a blank and without line ends. Eight-bit characters that were not encoded are taken
/// for bytes again, as they were before the header was read as text.
fn q(payload: &str, charset: &str) -> Vec<u8> {
    let is_utf8 = charset.eq_ignore_ascii_case("utf-8");
    let mut bytes = Vec::with_capacity(payload.len());
    let mut rest = payload;
    while let Some(c) = rest.chars().next() {
        let pair = rest
            .get(1..3)
            .filter(|pair| c == '=' && pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if let Some(decoded) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            bytes.push(decoded);
            rest = &rest[3..];
            continue;
        }
        match (c, u8::try_from(u32::from(c))) {
            ('_', _) => bytes.push(b' '),
            (_, Ok(byte)) if byte.is_ascii() || !is_utf8 => bytes.push(byte),
            _ => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &rest[c.len_utf8()..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It took seconds when the end of each was looked for in all that follows.
    #[test]
    fn value_of_open_words_is_soon_read() {
        let open = "=?a?q?x".repeat(28_000);
        assert_eq!(decode(&open), open);
    }

    #[test]
    fn encoded_words_are_decoded_and_the_rest_is_left_alone() {
        for (raw, text) in [
            ("plain", "plain"),
            ("=?utf-8?q?Invoice_=E2=82=AC_5?=", "Invoice € 5"),
            ("Re: =?UTF-8?B?w7w=?= x", "Re: ü x"),
            ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?a?=\r\n\t=?iso-8859-1?q?=FC?=", "aü"),
            ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
            ("=?utf-8?b?ww==?= =?utf-8?b?vA==?=", "ü"),
            ("=?utf-8*de?q?gr=C3=BCn?=", "grün"),
            ("=?iso-2022-jp?b?GyRCJDMbKEI=?=", "こ"),
            ("=?utf-8?q?two words?=", "two words"),
            ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
            ("=?utf-8?q?open", "=?utf-8?q?open"),
            ("a =? b ?= c", "a =? b ?= c"),
            ("=?utf-8?q?=?=", "="),
            ("=?iso-8859-1?q?Frö_=F6?=", "Frö ö"),
            ("=?utf-8?q?Frö?=", "Frö"),
        ] {
            assert_eq!(decode(raw), text, "{raw}");
        }
    }
}
