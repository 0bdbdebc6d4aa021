//! East Asian text in seven bits, between escapes: ISO-2022-JP, ISO-2022-KR, HZ.

use encoding_rs::{EUC_KR, GBK, ISO_2022_JP};

/// ISO-2022-JP. The standard marks an escape that another follows at once as an error; joined encoded words are full of them.
pub(super) fn japanese(bytes: &[u8]) -> String {
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
pub(super) fn korean(bytes: &[u8]) -> String {
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
pub(super) fn chinese(bytes: &[u8]) -> String {
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
