//! Bytes → text: the WHATWG Encoding Standard (`encoding_rs`), with what mail programs do where a label lacks or lies.

use encoding_rs::{EUC_KR, Encoding, GBK, ISO_2022_JP, UTF_8, WINDOWS_1252};
use mail_parser::decoders::charsets::map::charset_decoder;
use std::borrow::Cow;

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
            encoding if encoding == ISO_2022_JP => japanese(bytes).into(),
            encoding if encoding == UTF_8 => utf8(bytes),
            encoding => encoding.decode(bytes).0,
        };
    }
    if label.eq_ignore_ascii_case("iso-2022-kr") || label.eq_ignore_ascii_case("csiso2022kr") {
        return korean(bytes).into();
    }
    if label.eq_ignore_ascii_case("hz-gb-2312") || label.eq_ignore_ascii_case("hz") {
        return chinese(bytes).into();
    }
    // UTF-7 and other old ones that the standard leaves out.
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
        return japanese(bytes).into();
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

/// ISO-2022-JP. The standard marks an escape that another follows at once as an error; joined encoded words are full of them.
fn japanese(bytes: &[u8]) -> String {
    let mut kept: Vec<u8> = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        let escape = kept
            .len()
            .checked_sub(3)
            .filter(|start| kept[*start] == 0x1b);
        if *byte == 0x1b
            && bytes
                .get(at + 1)
                .is_some_and(|next| matches!(next, b'$' | b'('))
        {
            kept.truncate(escape.unwrap_or(kept.len()));
        }
        kept.push(*byte);
    }
    ISO_2022_JP.decode(&kept).0.into_owned()
}

/// ISO-2022-KR (RFC 1557): EUC-KR without its eighth bit, between shift out and shift in. The standard leaves it out because
/// pages could hide markup in it; an email is no page.
fn korean(bytes: &[u8]) -> String {
    let mut eight_bit = Vec::with_capacity(bytes.len());
    let mut shifted = false;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            0x0e => shifted = true,
            0x0f => shifted = false,
            // The designator, once per text.
            0x1b if after.starts_with(b"$)C") => rest = &after[3..],
            b'\n' => {
                shifted = false;
                eight_bit.push(*byte);
            }
            0x21..=0x7e if shifted => eight_bit.push(byte | 0x80),
            byte => eight_bit.push(*byte),
        }
    }
    EUC_KR.decode(&eight_bit).0.into_owned()
}

/// HZ (RFC 1843): GB 2312 without its eighth bit, between `~{` and `~}`.
fn chinese(bytes: &[u8]) -> String {
    let mut eight_bit = Vec::with_capacity(bytes.len());
    let mut shifted = false;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after.first()) {
            (b'~', Some(b'{')) => (shifted, rest) = (true, &after[1..]),
            (b'~', Some(b'}')) => (shifted, rest) = (false, &after[1..]),
            (b'~', Some(b'~')) if !shifted => {
                eight_bit.push(b'~');
                rest = &after[1..];
            }
            (b'~', Some(b'\n')) => rest = &after[1..],
            (b'\n', _) => {
                shifted = false;
                eight_bit.push(*byte);
            }
            (0x21..=0x7e, _) if shifted => eight_bit.push(byte | 0x80),
            _ => eight_bit.push(*byte),
        }
    }
    GBK.decode(&eight_bit).0.into_owned()
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
        "cp936" => "gbk",
        "cp949" => "euc-kr",
        "cp950" => "big5",
        "cp51932" | "eucjp" => "euc-jp",
        "cp50220" | "cp50221" | "iso-2022-jp-1" | "iso-2022-jp-2" | "iso-2022-jp-ms" => {
            "iso-2022-jp"
        }
        "latin-1" | "latin_1" => "latin1",
        "utf_8" | "utf-8-sig" | "utf8mb4" => "utf-8",
        "cp874" => "windows-874",
        "macroman" | "mac-roman" => "macintosh",
        label => label,
    };
    // What the standard replaces by one mark is worth a try elsewhere.
    Encoding::for_label(alias.as_bytes()).filter(|encoding| *encoding != encoding_rs::REPLACEMENT)
}

/// `win-1251`, `windows1250`, `cp-1252` → the number.
fn windows_number(label: &str) -> Option<&str> {
    let names = ["windows", "mswin", "win", "cp"];
    let number = names.iter().find_map(|name| label.strip_prefix(name))?;
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
