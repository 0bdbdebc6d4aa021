//! Johab (KS X 1001 annex 3), the Korean charset of DOS and old Windows: [`decode`]. A syllable is its three letters in five bits
//! each; signs and Chinese characters stand in the order of EUC-KR.

use encoding_rs::EUC_KR;

/// Letters that stand alone.
const INITIALS: &str = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ";
/// The rows of EUC-KR that follow one another: of signs, and of Chinese characters.
const HANJA_ROW: u8 = 41;
const COLUMNS: u8 = 94;

pub(super) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        match after {
            _ if byte.is_ascii() => text.push(char::from(*byte)),
            [trail, after @ ..] => {
                let found = syllable(*byte, *trail).or_else(|| sign(*byte, *trail));
                text.push(found.unwrap_or('\u{fffd}'));
                rest = after;
            }
            [] => text.push('\u{fffd}'),
        }
    }
    text
}

fn syllable(lead: u8, trail: u8) -> Option<char> {
    let code = u32::from(lead) << 8 | u32::from(trail);
    if !(0x8441..=0xd3bd).contains(&code) {
        return None;
    }
    let (initial, medial, last) = (code >> 10 & 31, code >> 5 & 31, code & 31);
    let initial = initial.checked_sub(2);
    // The codes of vowels and of final consonants leave out some numbers.
    let medial = match medial {
        3..=7 => Some(medial - 3),
        10..=15 => Some(medial - 5),
        18..=23 => Some(medial - 7),
        26..=29 => Some(medial - 9),
        _ => None,
    };
    let last = match last {
        1..=17 => last - 1,
        19..=29 => last - 2,
        _ => return None,
    };
    match (initial, medial) {
        (Some(initial @ 0..19), Some(medial)) => {
            char::from_u32(0xac00 + (initial * 21 + medial) * 28 + last)
        }
        (Some(initial), None) => INITIALS.chars().nth(usize::try_from(initial).ok()?),
        (None, Some(medial)) => char::from_u32(0x314f + medial),
        _ => None,
    }
}

/// Two rows of EUC-KR for each first byte.
fn sign(lead: u8, trail: u8) -> Option<char> {
    let place = match trail {
        0x31..=0x7e => trail - 0x31,
        0x91..=0xfe => trail - 0x91 + 78,
        _ => return None,
    };
    let row = match lead {
        0xd9..=0xde => (lead - 0xd9) * 2,
        0xe0..=0xf9 => HANJA_ROW + (lead - 0xe0) * 2,
        _ => return None,
    };
    let pair = [0xa1 + row + place / COLUMNS, 0xa1 + place % COLUMNS];
    EUC_KR
        .decode_without_bom_handling_and_without_replacement(&pair)?
        .chars()
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syllables_letters_signs_and_chinese_characters_are_read() {
        assert_eq!(decode(b"\x88a \xd0a\xb7"), "가 하\u{fffd}");
        assert_eq!(decode(b"\x88A\x84a\xd9h\xdc\xe7\xf7\xd3"), "ㄱㅏ※①漢");
    }
}
