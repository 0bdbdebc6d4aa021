//! Passwords: which are accepted, and what is stored.
//!
//! Hashing takes tens of milliseconds of a core and 19 MiB; call it through `commands::sessions::hashing`, which bounds
//! how many run.

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash,
};
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashSet;

pub const MIN_CHARS: usize = 8;
pub const MAX_CHARS: usize = 128;

/// The OWASP floor for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Distinct characters that one can see; fewer are guessed by their pattern.
pub const MIN_DISTINCT: usize = 4;

/// The 3,000 passwords that every guesser tries first, one a line, lower case.
const COMMON: &str = include_str!("common_passwords.txt");

/// A chosen password: long enough, of several characters and not among the common ones. Whether it is its user's address
/// is asked when the user is known: [`NewPassword::not_about`].
#[derive(Clone, Debug)]
pub struct NewPassword(SecretString);

/// The password is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("Must have at least {MIN_CHARS} characters.")]
    TooShort,
    #[error("Must have at most {MAX_CHARS} characters.")]
    TooLong,
    #[error("Must have at least {MIN_DISTINCT} different visible characters.")]
    TooUniform,
    #[error("Must not be one of the most common passwords.")]
    TooCommon,
    #[error("Must not be the email address or the tenant's name.")]
    TooPersonal,
}

/// The result of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    Wrong,
    Right,
    /// Right, but stored under weaker parameters than today's.
    RightButOutdated,
}

impl NewPassword {
    /// # Errors
    /// If its length is out of bounds or it is common; there are no rules about kinds of characters (ASVS 6.2.5).
    pub fn parse(text: SecretString) -> Result<Self, WeakPassword> {
        let chars = text.expose_secret().chars().count();
        if chars < MIN_CHARS {
            return Err(WeakPassword::TooShort);
        }
        if chars > MAX_CHARS {
            return Err(WeakPassword::TooLong);
        }
        let visible = |c: &char| !c.is_whitespace() && !c.is_control();
        let distinct: HashSet<char> = text.expose_secret().chars().filter(visible).collect();
        if distinct.len() < MIN_DISTINCT {
            return Err(WeakPassword::TooUniform);
        }
        let lower = text.expose_secret().to_lowercase();
        if COMMON.lines().any(|common| common == lower) {
            return Err(WeakPassword::TooCommon);
        }
        Ok(Self(text))
    }

    /// Refuses what anybody who knows the user would guess: the address, its local part and the tenant's name.
    ///
    /// # Errors
    /// [`WeakPassword::TooPersonal`].
    pub fn not_about(self, email: &str, tenant_slug: &str) -> Result<Self, WeakPassword> {
        let lower = self.0.expose_secret().trim().to_lowercase();
        let email = email.to_lowercase();
        let local = email.split('@').next().unwrap_or_default();
        if [&email, local, tenant_slug].contains(&lower.as_str()) {
            return Err(WeakPassword::TooPersonal);
        }
        Ok(self)
    }

    pub(crate) fn into_secret(self) -> SecretString {
        self.0
    }
}

/// Returns the PHC string to store: argon2id under today's parameters with a random salt.
pub(crate) fn hash(password: &SecretString) -> String {
    hash_with(&argon2(), password)
}

/// Verifies a password against a stored PHC string, under the parameters of the string. An unreadable string matches
/// nothing.
pub(crate) fn verify(stored: &str, password: &SecretString) -> Verified {
    let Ok(parsed) = PasswordHash::new(stored) else {
        return Verified::Wrong;
    };
    let right = argon2().verify_password(password.expose_secret().as_bytes(), &parsed);
    match right {
        Err(_) => Verified::Wrong,
        Ok(()) if is_current(&parsed) => Verified::Right,
        Ok(()) => Verified::RightButOutdated,
    }
}

fn is_current(parsed: &PasswordHash) -> bool {
    parsed.algorithm == Algorithm::Argon2id.ident()
        && Params::try_from(parsed).is_ok_and(|params| {
            params.m_cost() >= MEMORY_KIB && params.t_cost() >= PASSES && params.p_cost() >= LANES
        })
}

fn argon2() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are in argon2's range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_with(argon2: &Argon2<'_>, password: &SecretString) -> String {
    argon2
        .hash_password(password.expose_secret().as_bytes())
        .expect("argon2 takes any password below 4 GiB, and the system has random numbers")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        text.into()
    }

    #[test]
    fn only_the_right_password_matches() {
        let stored = hash(&secret("correct horse"));
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert_eq!(verify(&stored, &secret("correct horse")), Verified::Right);
        assert_eq!(verify(&stored, &secret("Correct horse")), Verified::Wrong);
        assert_eq!(verify("", &secret("")), Verified::Wrong);
        assert_eq!(verify("$argon2id$nonsense", &secret("")), Verified::Wrong);
        assert_ne!(stored, hash(&secret("correct horse")), "the salt is random");
    }

    #[test]
    fn weaker_parameters_are_noticed() {
        for (m, t) in [(8 * 1024, 2), (19 * 1024, 1)] {
            let params = Params::new(m, t, 1, None).unwrap();
            let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let stored = hash_with(&old, &secret("correct horse"));
            assert_eq!(
                verify(&stored, &secret("correct horse")),
                Verified::RightButOutdated
            );
            assert_eq!(verify(&stored, &secret("wrong horse!")), Verified::Wrong);
        }
    }

    #[test]
    fn short_long_and_common_passwords_may_not_be_chosen() {
        let parse = |text: &str| NewPassword::parse(secret(text)).map(drop);
        assert_eq!(parse("seven77"), Err(WeakPassword::TooShort));
        assert_eq!(parse("ééééééé"), Err(WeakPassword::TooShort));
        assert_eq!(parse(&"é".repeat(129)), Err(WeakPassword::TooLong));
        assert_eq!(parse("PassWord1"), Err(WeakPassword::TooCommon));
        assert_eq!(parse("girfriend"), Err(WeakPassword::TooCommon));
        assert_eq!(parse("abcabcabcabc"), Err(WeakPassword::TooUniform));
        assert_eq!(parse("a b c \u{a0}\t a b c"), Err(WeakPassword::TooUniform));
        assert_eq!(parse("a quiet owl"), Ok(()));
        assert_eq!(parse(&"éabc".repeat(32)), Ok(()));
    }

    #[test]
    fn address_and_tenant_may_not_be_a_password() {
        let about = |text: &str| {
            let password = NewPassword::parse(secret(text)).unwrap();
            password
                .not_about("Ada.Lovelace@acme.example", "acme-corporation")
                .map(drop)
        };
        for personal in [
            "ada.lovelace@ACME.example",
            "Ada.Lovelace",
            "acme-corporation ",
        ] {
            assert_eq!(
                about(personal),
                Err(WeakPassword::TooPersonal),
                "{personal}"
            );
        }
        assert_eq!(about("ada.lovelace and a quiet owl"), Ok(()));
    }

    #[test]
    fn common_list_holds_only_what_could_be_chosen() {
        assert_eq!(COMMON.lines().count(), 3_000);
        for line in COMMON.lines() {
            assert!(
                line.chars().count() >= MIN_CHARS && line == line.to_lowercase(),
                "{line}"
            );
        }
    }
}
