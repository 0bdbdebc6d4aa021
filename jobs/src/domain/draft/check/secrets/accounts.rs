//! Finds account numbers: [`accounts`] (ISO 13616).

use regex::Regex;
use std::{ops::Range, sync::LazyLock};

static START: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b[a-z]{2}[ .\u{a0}-]?\d{2}").expect("a regular expression that compiles")
});
/// The rest of a number, in any capitals and with the marks that people put between its groups.
static REST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\A(?:[ .\u{a0}-]?[a-z0-9]){11,30}")
        .expect("a regular expression that compiles")
});
/// How many letters and digits the numbers of each country have: words behind a telephone number would pass the check of
/// some length in one case of twenty.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 \
     FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 \
     LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 \
     SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20";
/// No country has fewer. Words that follow "at 30" have, and one in a hundred would pass the check.
const DIGITS: usize = 10;

/// Lists where account numbers stand. Each start is tried by itself: in "at 10 to de89 …" the first is none.
pub(super) fn accounts(text: &str) -> impl Iterator<Item = Range<usize>> {
    START
        .find_iter(text)
        .filter_map(|found| account(text, found.range()))
}

/// Returns the account number that starts there: words may follow it.
fn account(text: &str, start: Range<usize>) -> Option<Range<usize>> {
    let rest = REST.find(&text[start.end..])?;
    let whole = start.start..start.end + rest.end();
    let length = length_in(&text[start.start..start.start + 2])?;
    let (at, _) = text[whole.clone()]
        .char_indices()
        .filter(|(_, char)| char.is_ascii_alphanumeric())
        .nth(length - 1)?;
    let number = whole.start..whole.start + at + 1;
    let ends_a_group = !text[number.end..].starts_with(|c: char| c.is_ascii_alphanumeric());
    (ends_a_group && is_account(&text[number.clone()])).then_some(number)
}

fn length_in(country: &str) -> Option<usize> {
    let country = country.to_ascii_uppercase();
    let mut lengths = LENGTHS.split(' ');
    lengths.find_map(|entry| entry.strip_prefix(&*country)?.parse().ok())
}

/// Checks the remainder, which is 1 of 97.
fn is_account(text: &str) -> bool {
    let bare: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
    if bare.iter().filter(|char| char.is_ascii_digit()).count() < DIGITS {
        return false;
    }
    let Some((start, account)) = bare.split_at_checked(4) else {
        return false;
    };
    let mut rest = 0;
    for char in account.iter().chain(start) {
        let Some(value) = char.to_digit(36) else {
            return false;
        };
        rest = if value < 10 {
            rest * 10 + value
        } else {
            rest * 100 + value
        } % 97;
    }
    rest == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_number_is_found_in_any_form() {
        for (text, number) in [
            (
                "Pay to DE89 3704 0044 0532 0130 00.",
                "DE89 3704 0044 0532 0130 00",
            ),
            (
                "Pay to GB82WEST12345698765432 please",
                "GB82WEST12345698765432",
            ),
            (
                "IBAN FR14 2004 1010 0505 0001 3M02 606",
                "FR14 2004 1010 0505 0001 3M02 606",
            ),
            (
                "iban: de89 3704 0044 0532 0130 00",
                "de89 3704 0044 0532 0130 00",
            ),
            (
                "DE 89 3704 0044 0532 0130 00 is it",
                "DE 89 3704 0044 0532 0130 00",
            ),
            (
                "At 10 to de89 3704 0044 0532 0130 00",
                "de89 3704 0044 0532 0130 00",
            ),
        ] {
            let found: Vec<_> = accounts(text).map(|range| &text[range]).collect();
            assert_eq!(found, [number], "{text}");
        }
    }

    #[test]
    fn other_numbers_and_words_are_none() {
        // The last passes the check by chance and has too few digits.
        for text in [
            "DE89 3704 0044 0532 0130 02",
            "We meet at 10 30 on the 12th of May 2026 in room 4.",
            "We meet at 34 minutes past nine.",
            "You can reach me at 030 1925 4122 on Monday or Tuesday afternoon.",
            "My number is 07678 024361 and I am in the office until five.",
        ] {
            assert_eq!(accounts(text).count(), 0, "{text}");
        }
    }
}
