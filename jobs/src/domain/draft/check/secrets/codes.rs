//! Finds one-time codes beside the word for them: [`codes`].

use regex::Regex;
use std::{ops::Range, sync::LazyLock};

static WORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(?<kind>[\p{L}-]+\s)?\b(?:(?<any>code|kode|kod|codice|código|код)|pin|otp|tan|passcode|einmalcode|bestätigungscode|sicherheitscode)\b")
        .expect("a regular expression that compiles")
});
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:\d{4,8}|\d{3}[ -]\d{3}|\d(?:[ -]\d){3,7})\b")
        .expect("a regular expression that compiles")
});
/// What makes even a year a code: "the code is 1987".
static NAMES_IT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:(?:^|\s)(?:is|ist|lautet|est|es|è|är)(?:\s+(?:the|my|your|our|der|mein|dein|ihr))?\s*[:=]?|[:=])\s*$")
        .expect("a regular expression that compiles")
});
/// Words before or behind the word for a code that is no secret.
const PUBLIC_CODES: [&str; 16] = [
    "zip", "postal", "postale", "post", "area", "country", "dial", "error", "status", "promo",
    "discount", "product", "dress", "sort", "vat", "fiscale",
];
/// And before or behind plain "code" alone: a customer's PIN is one.
const PUBLIC_REFERENCES: [&str; 9] = [
    "reference",
    "booking",
    "order",
    "customer",
    "cliente",
    "client",
    "article",
    "qr",
    "source",
];
const SENTENCE_ENDS: [char; 4] = ['.', '!', '?', '\n'];
/// The longest way from the word to the code and back, in characters.
const AHEAD: usize = 40;
const BACK: usize = 30;

/// Lists where codes stand.
pub(super) fn codes(text: &str) -> impl Iterator<Item = Range<usize>> {
    WORD.captures_iter(text).filter_map(|found| {
        let end = found.get(0)?.end();
        let kind = found.name("kind");
        let start = kind.map_or(found.get(0)?.start(), |kind| kind.end());
        let next = text[end..].split_whitespace().next().unwrap_or_default();
        // "Code" has many meanings; a PIN has one.
        let is_any = found.name("any").is_some();
        let is_public = [kind.map_or("", |kind| kind.as_str()), next]
            .iter()
            .any(|word| {
                let word = word.trim().to_lowercase();
                PUBLIC_CODES.contains(&&*word) || (is_any && PUBLIC_REFERENCES.contains(&&*word))
            });
        (!is_public)
            .then(|| ahead(text, end, is_any).or_else(|| back(text, start, is_any)))
            .flatten()
    })
}

/// Finds the first number behind the word, in the same sentence; `any` passes years over.
fn ahead(text: &str, from: usize, any: bool) -> Option<Range<usize>> {
    let rest = &text[from..];
    let sentence = &rest[..rest.find(SENTENCE_ENDS).unwrap_or(rest.len())];
    let mut seen = 0;
    for number in NUMBER.find_iter(sentence) {
        let between = &sentence[seen..number.start()];
        if between.contains(is_digit) || sentence[..number.start()].chars().count() > AHEAD {
            return None;
        }
        let before = &sentence[..number.start()];
        if !(any && is_year(number.as_str()))
            || before.trim().is_empty()
            || NAMES_IT.is_match(before)
        {
            return Some(from + number.start()..from + number.end());
        }
        seen = number.end();
    }
    None
}

/// Finds the last number before the word, in the same sentence.
fn back(text: &str, until: usize, any: bool) -> Option<Range<usize>> {
    let start = text[..until].rfind(SENTENCE_ENDS).map_or(0, |at| at + 1);
    let sentence = &text[start..until];
    let number = NUMBER.find_iter(sentence).last()?;
    let between = &sentence[number.end()..];
    let is_near = !between.contains(is_digit) && between.chars().count() <= BACK;
    let is_code = !(any && is_year(number.as_str())) || NAMES_IT.is_match(between);
    (is_near && is_code).then(|| start + number.start()..start + number.end())
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn is_year(number: &str) -> bool {
    number.len() == 4 && (number.starts_with("19") || number.starts_with("20"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_on_either_side_of_its_word() {
        for (text, code) in [
            ("The code is 493817.", "493817"),
            ("Your verification code: 4938", "4938"),
            ("493 817 is the code they sent me", "493 817"),
            ("Mein TAN: 493817", "493817"),
            ("Le code de vérification est 4938", "4938"),
            ("Der Kode lautet 493817", "493817"),
            ("Il codice è 493817", "493817"),
            ("Ваш код 493817", "493817"),
            ("your code is 4 9 3 8 1 7", "4 9 3 8 1 7"),
            ("your code is 4-9-3-8-1-7.", "4-9-3-8-1-7"),
        ] {
            let found: Vec<_> = codes(text).map(|range| &text[range]).collect();
            assert_eq!(found, [code], "{text}");
        }
    }

    #[test]
    fn year_is_a_code_only_if_it_is_called_one() {
        for text in [
            "We will finish the code review in January 2026.",
            "The code freeze is on 2026-12-01.",
            "Since 2019 our code base has grown, and the 2019 code is gone.",
            "Der Code of Conduct gilt seit 2024",
        ] {
            assert_eq!(codes(text).count(), 0, "{text}");
        }
        for (text, code) in [
            ("The code is 1987.", "1987"),
            ("PIN: 1987", "1987"),
            ("My PIN 1987", "1987"),
            ("1987 is my PIN", "1987"),
            ("The PIN for the alarm is 1984.", "1984"),
            ("The verification code they sent me is 2041.", "2041"),
            ("The door code at the office: 1998", "1998"),
            ("Your TAN for the transfer is 2093", "2093"),
            ("Your customer PIN is 4938.", "4938"),
            ("The code from 2026 is 493817.", "493817"),
            ("Since 2019 our code is 493817.", "493817"),
        ] {
            let found: Vec<_> = codes(text).map(|range| &text[range]).collect();
            assert_eq!(found, [code], "{text}");
        }
    }

    #[test]
    fn public_codes_and_other_numbers_are_none() {
        for text in [
            "The zip code is 94107, the postal code 10115.",
            "Please quote reference code 88213",
            "Your booking code 88213, order code 88214, customer code 88215.",
            "The article code 88213, the QR code 88214, the source code 88215.",
            "Le code postal 75001, il codice cliente 88213",
            "Error code 5021 appears in 2026.",
            "Could you send me the code for the door? I am in 4938.",
            "Code 3 has 4938 lines",
        ] {
            assert_eq!(codes(text).count(), 0, "{text}");
        }
    }
}
