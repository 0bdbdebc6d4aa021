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
/// The least that a number has, two for the country and two for the check included.
const LENGTH: usize = 15;
/// No country has fewer. Words that follow "at 30" have, and one in a hundred would pass the check.
const DIGITS: usize = 10;

/// Lists where account numbers stand. Each start is tried by itself: in "at 10 to de89 …" the first is none.
pub(super) fn accounts(text: &str) -> impl Iterator<Item = Range<usize>> {
    START
        .find_iter(text)
        .filter_map(|found| account(text, found.range()))
}

/// Returns the longest account number that starts there: words may follow it.
fn account(text: &str, start: Range<usize>) -> Option<Range<usize>> {
    let rest = REST.find(&text[start.end..])?;
    let whole = start.start..start.end + rest.end();
    // Only whole groups: of every hundred starts of a number one has the right remainder by chance.
    let ends: Vec<usize> = text[whole.clone()]
        .char_indices()
        .filter(|(_, char)| char.is_ascii_alphanumeric())
        .map(|(at, _)| whole.start + at + 1)
        .skip(LENGTH - 1)
        .filter(|end| !text[*end..].starts_with(|c: char| c.is_ascii_alphanumeric()))
        .collect();
    ends.into_iter()
        .rev()
        .map(|end| whole.start..end)
        .find(|candidate| is_account(&text[candidate.clone()]))
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
        ] {
            assert_eq!(accounts(text).count(), 0, "{text}");
        }
    }
}
