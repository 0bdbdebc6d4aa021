//! Finds what looks like a secret: [`secrets`] and [`strict_secrets`]. Rather refuses a harmless text than lets a key leave.

mod accounts;
mod codes;

use regex::Regex;
use std::{ops::Range, sync::LazyLock};

/// Words for a password, also of other languages.
const PASSWORD: &str = "passwords?|passwort|passwörter|passphrase|passcode|kennwort|zugangscode|mot de passe|contraseña|senha|\
                        wachtwoord|parola|hasło|api[ _-]?key|access[ _-]?key|secret|token|credentials?|zugangsdaten";

static KEYS: LazyLock<Regex> = LazyLock::new(|| {
    let forms = [
        r"-----BEGIN [A-Z ]*PRIVATE KEY[^\n]*",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{30,}",
        r"\bgithub_pat_[A-Za-z0-9_]{30,}",
        r"\bxox[abposr]-[A-Za-z0-9-]{10,}",
        r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])?[A-Za-z0-9_-]{20,}",
        r"\bAIza[0-9A-Za-z_-]{30,}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    ];
    Regex::new(&forms.join("|")).expect("a regular expression that compiles")
});
/// Whatever follows the word, even a plain word. Too strict for a text that only speaks of passwords.
static ANY_PASSWORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:password|passwort|passphrase|mot de passe|contraseña|api[ _-]?key|secret)\b\s*(?:is|ist|=|:)\s*\S{4,}")
        .expect("a regular expression that compiles")
});
/// A password behind words of its own: "my password, as you asked: …", "the password for it is …".
static PASSWORD_IN_WORDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(&format!(
        r#"(?im)\b(?:{PASSWORD})\b[^.!?:=\n]{{0,60}}(?:(?<sign>[:=])|\b(?:is|ist|lautet|est|es|är|è)\b)\s*["'“„«]?(?<value>[^\s"'”“»]{{4,}})(?<rest>[^\n]*)$"#
    ))
    .expect("a regular expression that compiles")
});
/// Thirteen to nineteen digits, with the marks that people put between them.
static CARD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b\d(?:[ ./_\u{a0}\u{2009}\u{2010}-\u{2014}-]?\d){12,18}\b")
        .expect("a regular expression that compiles")
});
/// As [`secrets`], and any word that stands where a password would: for texts that leave in a person's name.
pub(super) fn strict_secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = secrets(text);
    found.extend(ANY_PASSWORD.find_iter(text).map(|found| found.range()));
    found
}

/// Lists where something stands that looks like a secret.
pub(crate) fn secrets(text: &str) -> Vec<Range<usize>> {
    let keys = KEYS.find_iter(text);
    let cards = CARD.find_iter(text).filter(|found| is_card(found.as_str()));
    let passwords = PASSWORD_IN_WORDS.captures_iter(text).filter_map(|found| {
        let value = found.name("value")?;
        // After a colon a single word is enough; after "is" it needs a digit or a mark, as "the secret is time" has none.
        let rest = found.name("rest")?.as_str().trim_matches(['.', '!', ' ']);
        let last = found.name("sign").is_some() && rest.is_empty();
        let mixed = |c: char| !c.is_alphabetic();
        let is_value = last
            || value
                .as_str()
                .trim_end_matches(['.', ',', ';', '!'])
                .contains(mixed);
        is_value.then(|| value.range())
    });
    keys.chain(cards)
        .map(|found| found.range())
        .chain(accounts::accounts(text))
        .chain(passwords)
        .chain(codes::codes(text))
        .collect()
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

    fn holds_one(text: &str) -> bool {
        !strict_secrets(text).is_empty()
    }

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
            "Pay with 4111.1111.1111.1111.",
            "Pay with 4111/1111/1111/1111.",
            jwt.as_str(),
            token.as_str(),
        ] {
            assert!(holds_one(text), "{text}");
        }
    }

    #[test]
    fn passwords_in_other_words_are_found() {
        for text in [
            "Here is my password, as you asked: Mossy",
            "The password for the portal is Mossy42!",
            "Unser Kennwort für das Portal lautet: Sommer2026",
            "The login credentials for it: sam/Mossy42",
            "Le mot de passe du portail est Mossy42",
            "My passcode for the door = mossy",
        ] {
            assert!(holds_one(text), "{text}");
        }
    }

    #[test]
    fn one_time_codes_and_account_numbers_are_found() {
        for text in ["The code is 493817.", "Pay to DE89 3704 0044 0532 0130 00."] {
            assert!(holds_one(text), "{text}");
        }
    }

    #[test]
    fn ordinary_numbers_and_words_are_not() {
        for text in [
            "Your order 4111 1111 1111 1112 is on its way.",
            "Call +49 30 1234567.",
            "I have forgotten my password, can you help?",
            "The password reset for my account is still not working.",
            "The secret of good bread is time.",
            "Error code 5021 appears in 2026.",
        ] {
            assert!(!holds_one(text), "{text}");
        }
    }

    #[test]
    fn text_that_only_speaks_of_a_password_is_refused_in_drafts_alone() {
        let text = "The sender says that your password is expired.";
        assert!(secrets(text).is_empty());
        assert!(!strict_secrets(text).is_empty());
    }
}
