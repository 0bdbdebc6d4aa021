//! Finds what looks like a secret: [`holds_one`]. Rather refuses a harmless text than lets a key leave.

use regex::{Regex, RegexSet};
use std::sync::LazyLock;

static SECRETS: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new([
        r"-----BEGIN [A-Z ]*PRIVATE KEY",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{30,}",
        r"\bgithub_pat_[A-Za-z0-9_]{30,}",
        r"\bxox[abposr]-[A-Za-z0-9-]{10,}",
        r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])?[A-Za-z0-9_-]{20,}",
        r"\bAIza[0-9A-Za-z_-]{30,}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        r"(?i)\b(?:password|passwort|passphrase|mot de passe|contraseña|api[ _-]?key|secret)\b\s*(?:is|ist|=|:)\s*\S{4,}",
    ])
    .expect("regular expressions that compile")
});
static CARD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b\d(?:[ -]?\d){12,18}\b").expect("a regular expression that compiles")
});

pub(super) fn holds_one(text: &str) -> bool {
    SECRETS.is_match(text) || CARD.find_iter(text).any(|digits| is_card(digits.as_str()))
}

/// Checks the digit of payment cards (ISO/IEC 7812, Luhn), so that an order number is not taken for one.
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let issued = matches!(digits.first(), Some(3..=6));
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    issued && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_passwords_and_cards_are_found() {
        let jwt = format!("eyJ{0}.{0}.{0}", "abcdefgh12");
        let token = format!("ghp_{}", "a1".repeat(18));
        for text in [
            "Use AKIAABCDEFGHIJKLMNOP for it.",
            "The password is hunter22.",
            "Passwort: geheim",
            "-----BEGIN RSA PRIVATE KEY-----",
            "Pay with 4111 1111 1111 1111.",
            jwt.as_str(),
            token.as_str(),
        ] {
            assert!(holds_one(text), "{text}");
        }
    }

    #[test]
    fn ordinary_numbers_and_words_are_not() {
        for text in [
            "Your order 4111 1111 1111 1112 is on its way.",
            "Call +49 30 1234567.",
            "I have forgotten my password, can you help?",
            "The secret of good bread is time.",
            "DE89 3704 0044 0532 0130 00",
        ] {
            assert!(!holds_one(text), "{text}");
        }
    }
}
