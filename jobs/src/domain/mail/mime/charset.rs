//! Bytes → text: the WHATWG Encoding Standard (`encoding_rs`), with what mail programs do where a label lacks or lies.

mod code_pages;
mod johab;
mod seven_bit;

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

/// A text of UTF-16 that is so short may be taken for another.
const SHORT: usize = 8;
/// How much of a document is searched for its `<meta charset>`; the standard asks for 1,024 bytes.
const PRESCAN: usize = 4_096;

/// Text in the charset of this label. Without one (or with one that says nothing) it is UTF-8 if it can be, else
/// windows-1252. The same goes for `us-ascii`, which many programs write whatever they send.
pub(super) fn decode<'a>(bytes: &'a [u8], label: Option<&str>) -> Cow<'a, str> {
    let label =
        label.map(|label| label.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\''));
    let Some(label) = label.filter(|label| !says_nothing(label)) else {
        return guess(bytes);
    };
    if let Some(encoding) = encoding(label) {
        return match encoding {
            encoding if encoding == ISO_2022_JP => seven_bit::japanese(bytes).into(),
            encoding if encoding == UTF_8 => utf8(bytes),
            encoding if [UTF_16LE, UTF_16BE].contains(&encoding) => utf16(bytes, encoding),
            encoding => encoding.decode(bytes).0,
        };
    }
    let label = label.to_ascii_lowercase();
    match label.as_str() {
        "iso-2022-kr" | "csiso2022kr" => return seven_bit::korean(bytes).into(),
        "hz-gb-2312" | "hz" => return seven_bit::chinese(bytes).into(),
        "johab" | "x-johab" | "ms1361" | "cp1361" => return johab::decode(bytes).into(),
        _ => {}
    }
    if let Some(upper) = code_pages::find(&label) {
        return code_pages::decode(bytes, upper).into();
    }
    if let Some(is_big_endian) = utf32_order(&label) {
        return utf32(bytes, is_big_endian).into();
    }
    // UTF-7 and other old ones that the standard leaves out.
    let label = label.strip_prefix("unicode-1-1-").unwrap_or(&label);
    match charset_decoder(label.as_bytes()) {
        Some(decode) => decode(bytes).into(),
        None => guess(bytes),
    }
}

/// As [`decode`]; a document without a label in its header may have one in itself.
pub(super) fn decode_html<'a>(bytes: &'a [u8], label: Option<&str>) -> Cow<'a, str> {
    match label.filter(|label| !says_nothing(label)) {
        Some(label) => decode(bytes, Some(label)),
        None => decode(bytes, meta_charset(bytes).as_deref()),
    }
}

/// A header's value on one line: eight-bit characters are UTF-8, or else windows-1252.
pub(super) fn header(bytes: &[u8]) -> Cow<'_, str> {
    guess(bytes)
}

/// As [`header`]; what is not UTF-8 is in the charset that the text beside it has.
pub(super) fn header_beside<'a>(bytes: &'a [u8], label: Option<&str>) -> Cow<'a, str> {
    let is_useful = |label: &&str| {
        encoding(label).is_some_and(|known| known != UTF_8 && known.is_ascii_compatible())
    };
    match label.filter(is_useful) {
        Some(label) if std::str::from_utf8(bytes).is_err() => decode(bytes, Some(label)),
        _ => header(bytes),
    }
}

fn guess(bytes: &[u8]) -> Cow<'_, str> {
    // ISO-2022-JP is seven-bit and would pass for UTF-8; its escapes mean nothing else in a text.
    let escaped = [b"\x1b$B".as_slice(), b"\x1b$@", b"\x1b(J"];
    let is_japanese = bytes.contains(&0x1b) && bytes.windows(3).any(|part| escaped.contains(&part));
    if is_japanese && bytes.is_ascii() {
        return seven_bit::japanese(bytes).into();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        // It was cut within its last character. One that is UTF-8 to the end is no accident; in `caf\xe9` there is none.
        Err(error) if error.error_len().is_none() && !bytes[..error.valid_up_to()].is_ascii() => {
            String::from_utf8_lossy(bytes)
        }
        Err(_) => match Encoding::for_bom(bytes) {
            Some((encoding, _)) => encoding.decode(bytes).0,
            None => WINDOWS_1252.decode_without_bom_handling(bytes).0,
        },
    }
}

/// What is called UTF-8 and has no character of it beside broken ones was never converted: windows-1252, as without a label.
fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    let (text, _, is_broken) = UTF_8.decode(bytes);
    let is_character = |c: char| !c.is_ascii() && c != '\u{fffd}';
    match is_broken && !text.contains(is_character) {
        true => WINDOWS_1252.decode_without_bom_handling(bytes).0,
        false => text,
    }
}

/// What is called UTF-16 and has no NUL, but can be read as it stands, was never converted.
fn utf16<'a>(bytes: &'a [u8], encoding: &'static Encoding) -> Cow<'a, str> {
    let as_it_stands = bytes.len() >= SHORT && !bytes.contains(&0);
    match std::str::from_utf8(bytes) {
        Ok(text) if as_it_stands => Cow::Borrowed(text),
        _ => encoding.decode(bytes).0,
    }
}

/// Whether a label means UTF-32, and whether its bytes come from the highest to the lowest where no mark says it.
fn utf32_order(label: &str) -> Option<bool> {
    match label {
        "utf-32" | "utf32" | "utf-32be" | "utf32be" | "ucs-4" | "iso-10646-ucs-4" | "csucs4" => {
            Some(true)
        }
        "utf-32le" | "utf32le" => Some(false),
        _ => None,
    }
}

fn utf32(bytes: &[u8], is_big_endian: bool) -> String {
    let (bytes, is_big_endian) = match bytes {
        [0, 0, 0xfe, 0xff, rest @ ..] => (rest, true),
        [0xff, 0xfe, 0, 0, rest @ ..] => (rest, false),
        _ => (bytes, is_big_endian),
    };
    let code = match is_big_endian {
        true => u32::from_be_bytes,
        false => u32::from_le_bytes,
    };
    let (codes, _) = bytes.as_chunks::<4>();
    let characters = codes.iter().map(|bytes| char::from_u32(code(*bytes)));
    characters.map(|c| c.unwrap_or('\u{fffd}')).collect()
}

fn says_nothing(label: &str) -> bool {
    let label = label.trim();
    label.is_empty()
        || [
            "us-ascii",
            "ascii",
            "ansi_x3.4-1968",
            "unknown",
            "unknown-8bit",
            "x-unknown",
            "default",
            "8bit",
            "7bit",
            "binary",
            "none",
            "default_charset",
            "x-user-defined",
        ]
        .iter()
        .any(|known| label.eq_ignore_ascii_case(known))
}

fn encoding(label: &str) -> Option<&'static Encoding> {
    let label = label.to_ascii_lowercase();
    if let Some(number) = windows_number(&label) {
        return Encoding::for_label(format!("windows-{number}").as_bytes());
    }
    let alias = match label.as_str() {
        "cp932" => "shift_jis",
        "cp936" | "euc-cn" | "euccn" => "gbk",
        "cp949" | "uhc" | "ms949" | "x-windows-949" => "euc-kr",
        "cp950" => "big5",
        "cp51932" | "eucjp" => "euc-jp",
        "cp50220" | "cp50221" | "iso-2022-jp-1" | "iso-2022-jp-2" | "iso-2022-jp-ms" => {
            "iso-2022-jp"
        }
        "latin-1" | "latin_1" | "iso-latin-1" => "latin1",
        "latin-2" => "latin2",
        "latin-9" | "latin9" => "iso-8859-15",
        "utf_8" | "utf-8-sig" | "utf8mb4" | "cp65001" => "utf-8",
        "cp874" => "windows-874",
        "macroman" | "mac-roman" => "macintosh",
        label => label,
    };
    // What the standard replaces by one mark is worth a try elsewhere.
    Encoding::for_label(alias.as_bytes()).filter(|encoding| *encoding != encoding_rs::REPLACEMENT)
}

/// `win-1251`, `windows1250`, `cp-1252`, `1251` → the number.
fn windows_number(label: &str) -> Option<&str> {
    let names = ["windows", "mswin", "win", "ansi", "cp"];
    let number = names.iter().find_map(|name| label.strip_prefix(name));
    let number = number.unwrap_or(label);
    let number = number.trim_start_matches(['-', '_', ' ']);
    let is_known = number.len() == 4 && number.starts_with("125");
    (is_known && number.ends_with(|c: char| matches!(c, '0'..='8'))).then_some(number)
}

/// The label of an XML declaration, which browsers look for as well.
fn xml_charset(head: &str) -> Option<String> {
    let declaration = head.trim_start().strip_prefix("<?xml")?.split_once('>')?.0;
    let value = declaration.split_once("encoding")?.1.trim_start();
    let value = value.strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let label = value[1..].split_once(quote)?.0;
    encoding(label)
        .is_some_and(Encoding::is_ascii_compatible)
        .then(|| label.to_owned())
}

/// The label in the document's `<meta>`, as browsers look for it before they parse.
fn meta_charset(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(PRESCAN)]).to_ascii_lowercase();
    let mut rest = head.as_str();
    while let Some(start) = rest.find("<meta") {
        rest = &rest[start + 5..];
        let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
        if let Some(at) = tag.find("charset") {
            let value = tag[at + 7..]
                .trim_start()
                .strip_prefix('=')
                .unwrap_or_default();
            let value = value.trim_start().trim_start_matches(['"', '\'']);
            let end = value.find(|c: char| !c.is_ascii_alphanumeric() && !"-_:.".contains(c));
            let label = &value[..end.unwrap_or(value.len())];
            // A document that can be read so far is not UTF-16, whatever it says.
            return match encoding(label) {
                Some(encoding) if !encoding.is_ascii_compatible() && encoding != ISO_2022_JP => {
                    Some(UTF_8.name().to_owned())
                }
                _ => Some(label.to_owned()),
            };
        }
    }
    xml_charset(&head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_of_the_web_is_known_and_none_hurts() {
        for (label, bytes, text) in [
            (Some("gb2312"), &b"\xc4\xe3\xba\xc3"[..], "你好"),
            (Some("GBK"), b"\xc4\xe3\xba\xc3", "你好"),
            (Some("big5"), b"\xa7A\xa6n", "你好"),
            (Some("\"shift_jis\""), b"\x82\xb1", "こ"),
            (Some("cp932"), b"\x82\xb1", "こ"),
            (Some("iso-2022-jp"), b"\x1b$B$3\x1b(B", "こ"),
            (None, b"\x1b$B$3\x1b(B", "こ"),
            (Some("iso-2022-jp"), b"\x1b$B$3\x1b(B\x1b$B$3\x1b(B", "ここ"),
            (Some("euc-kr"), b"\xbe\xc8", "안"),
            (Some("ks_c_5601-1987"), b"\xbe\xc8", "안"),
            (Some("tis-620"), b"\xca", "ส"),
            (Some("koi8-r"), b"\xf0", "П"),
            (Some("iso-8859-1"), b"\x80", "€"),
            (Some("us-ascii"), "ü".as_bytes(), "ü"),
            (Some("us-ascii"), b"\xfc", "ü"),
            (None, "ü".as_bytes(), "ü"),
            (None, b"\xfc", "ü"),
            (None, b"caf\xe9", "café"),
            (None, b"\xc3\xbc caf\xc3", "ü caf\u{fffd}"),
            (None, b"\xc3\xbc caf\xe9 ", "Ã¼ café "),
            (Some("x-no-such"), "ü".as_bytes(), "ü"),
            (Some("utf-7"), b"+APw-", "ü"),
            (Some("unicode-1-1-utf-7"), b"+APw-", "ü"),
            (Some("cp437"), b"Gr\x81\xe1e", "Grüße"),
            (Some("IBM852"), b"Za\xbe", "Zaż"),
            (Some("x-mac-ce"), b"P\xde", "Př"),
            (Some("HP_Roman8"), b"\xcf", "ü"),
            (Some("johab"), b"\x88a", "가"),
            (Some("utf-32"), b"\0\0\0\xfc", "ü"),
            (Some("UTF-32"), b"\xff\xfe\0\0\xfc\0\0\0", "ü"),
            (Some("utf-32le"), b"\xfc\0\0\0", "ü"),
            (Some("utf-16"), "<p>Tür</p>".as_bytes(), "<p>Tür</p>"),
            (Some("utf-16be"), b"\x4f\x60\x59\x7d", "你好"),
            (Some("ansi-1251"), b"\xcf", "П"),
            (Some("latin-9"), b"\xa4", "€"),
            (Some("uhc"), b"\x94\xee", "뷁"),
            (Some("x-user-defined"), b"\xfc", "ü"),
            (Some("iso-2022-kr"), b"\x1b$)C\x0e>H\x0f a", "안 a"),
            (Some("hz-gb-2312"), b"~{Dc:C~} ~~a", "你好 ~a"),
            (Some("utf-8"), b"\xc3\xbca\xffb", "üa\u{fffd}b"),
            (Some("utf-8"), b"T\xfcr pr\xfcfen", "Tür prüfen"),
            (Some("win-1251"), b"\xcf", "П"),
            (Some("windows1250"), b"\xea", "ę"),
            (Some("CP-1252"), b"\xfc", "ü"),
            (None, b"\xff\xfea\0", "a"),
        ] {
            assert_eq!(decode(bytes, label), text, "{label:?}");
        }
    }

    #[test]
    fn document_may_name_its_charset_itself() {
        for (html, text) in [
            (&b"<meta charset=windows-1251>\xc4"[..], "Д"),
            (
                b"<META content='text/html; charset=koi8-r' http-equiv=x>\xc4",
                "д",
            ),
            (b"<meta charset=\"utf-16\">\xc3\xbc", "ü"),
            (b"<?xml version='1.0' encoding='iso-8859-2'?><p>\xea", "ę"),
            (b"<p>\xfc", "ü"),
        ] {
            assert!(decode_html(html, None).ends_with(text), "{text}");
        }
        assert_eq!(
            decode_html(b"<meta charset=koi8-r>\xfc", Some("latin1")),
            "<meta charset=koi8-r>ü"
        );
    }
}
