//! The secrets we hand out: [`Token`], `pr_s_` for sessions, `pr_k_` for API keys, `pr_i_` for invites and `pr_p_` for
//! password resets.
//!
//! A kind is a type, so one cannot be passed for another; the kind is also hashed in, so that a hash stolen from one
//! table means nothing in another. Does not look anything up: a well-formed token is not yet a valid one.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::{fmt, marker::PhantomData};
use subtle::ConstantTimeEq;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62⁴³ is the first power of 62 above 2²⁵⁶.
const SECRET_CHARS: usize = 43;
/// 62⁶ is the first power of 62 above 2³².
const CHECKSUM_CHARS: usize = 6;

/// What a token is for.
pub trait TokenKind {
    /// Tells people and secret scanners what they have found. Never change it for tokens that exist.
    const PREFIX: &'static str;
    /// Goes into the hash.
    const NAME: &'static str;
}

/// Marks tokens that authenticate a user.
pub enum ForSession {}
/// Marks tokens that create a user, once.
pub enum ForInvite {}
/// Marks tokens that authenticate a program.
pub enum ForApiKey {}
/// Marks tokens that set a user's password, once.
pub enum ForPasswordReset {}

impl TokenKind for ForSession {
    const PREFIX: &'static str = "pr_s_";
    const NAME: &'static str = "session";
}
impl TokenKind for ForInvite {
    const PREFIX: &'static str = "pr_i_";
    const NAME: &'static str = "invite";
}
impl TokenKind for ForApiKey {
    const PREFIX: &'static str = "pr_k_";
    const NAME: &'static str = "api_key";
}
impl TokenKind for ForPasswordReset {
    const PREFIX: &'static str = "pr_p_";
    const NAME: &'static str = "password_reset";
}

/// A well-formed token: prefix, 256 random bits, checksum. Neither `Debug` nor `Display` shows it.
pub struct Token<K> {
    text: SecretString,
    kind: PhantomData<fn() -> K>,
}

pub type SessionToken = Token<ForSession>;
pub type InviteToken = Token<ForInvite>;
pub type ApiKeyToken = Token<ForApiKey>;
pub type PasswordResetToken = Token<ForPasswordReset>;

/// Not a token of the expected kind; no look-up was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedToken {
    #[error("the token's prefix or length is not that of the expected kind")]
    Shape,
    #[error("the token holds a character outside base62")]
    Alphabet,
    #[error("the token's checksum does not match")]
    Checksum,
}

/// What is stored of a token. SHA-256 suffices, since there is nothing to guess: the secret has 256 bits (ASVS 6.5.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl<K: TokenKind> Token<K> {
    /// A new secret from the thread's generator, a `ChaCha` seeded by the operating system.
    pub fn generate() -> Self {
        let secret: [u8; 32] = rand::random();
        let mut text = String::with_capacity(K::PREFIX.len() + SECRET_CHARS + CHECKSUM_CHARS);
        text.push_str(K::PREFIX);
        text.push_str(&base62(&secret, SECRET_CHARS));
        text.push_str(&checksum(&text));
        Self::from_checked(text)
    }

    /// Reads what a client sent. Typing errors and other kinds of token end here, before the database is asked.
    ///
    /// # Errors
    /// When length, prefix, alphabet or checksum are not those of this kind.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let secret = text.strip_prefix(K::PREFIX).ok_or(MalformedToken::Shape)?;
        if secret.len() != SECRET_CHARS + CHECKSUM_CHARS {
            return Err(MalformedToken::Shape);
        }
        if !secret.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(MalformedToken::Alphabet);
        }
        let (body, given) = text.split_at(text.len() - CHECKSUM_CHARS);
        if checksum(body) != given {
            return Err(MalformedToken::Checksum);
        }
        Ok(Self::from_checked(text.to_owned()))
    }

    fn from_checked(text: String) -> Self {
        Self {
            text: text.into(),
            kind: PhantomData,
        }
    }

    pub fn hash(&self) -> TokenHash {
        let mut hash = Sha256::new();
        hash.update(K::NAME);
        hash.update([0]);
        hash.update(self.text.expose_secret());
        TokenHash(hash.finalize().into())
    }

    /// The last four characters, by which people tell tokens apart. They are of the checksum and betray 20 bits of it.
    pub fn last4(&self) -> &str {
        let text = self.text.expose_secret();
        &text[text.len() - 4..]
    }

    /// The token itself, for the one answer that hands it to its owner.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl<K> fmt::Debug for Token<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

impl<K> fmt::Display for Token<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl TokenHash {
    /// Compares in constant time, for the row that an index look-up found.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.ct_eq(stored).into()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash([redacted])")
    }
}

fn checksum(body: &str) -> String {
    base62(
        &crc32fast::hash(body.as_bytes()).to_be_bytes(),
        CHECKSUM_CHARS,
    )
}

/// A big-endian number in base 62, padded with zeros to `width`.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![BASE62[0]; width];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u16;
        for byte in &mut number {
            let dividend = remainder << 8 | u16::from(*byte);
            *byte = u8::try_from(dividend / 62)
                .expect("the remainder is below 62, so this is below 256");
            remainder = dividend % 62;
        }
        *digit = BASE62[usize::from(remainder)];
    }
    String::from_utf8(digits).expect("base62 is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_token_parses_back_to_itself() {
        for _ in 0..200 {
            let token = SessionToken::generate();
            assert_eq!(token.expose().len(), 5 + 43 + 6);
            let parsed = SessionToken::parse(token.expose()).unwrap();
            assert_eq!(parsed.expose(), token.expose());
            assert_eq!(parsed.hash(), token.hash());
        }
    }

    #[test]
    fn numbers_are_written_in_fixed_width() {
        assert_eq!(base62(&[0; 32], 43), "0".repeat(43));
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&u32::MAX.to_be_bytes(), 6), "4gfFC3");
        // 2²⁵⁶ - 1: the largest secret fills the width and loses nothing.
        assert_eq!(base62(&[255; 32], 43).len(), 43);
        assert_eq!(
            base62(&[255; 32], 44),
            format!("0{}", base62(&[255; 32], 43))
        );
    }

    #[test]
    fn every_single_character_error_is_refused() {
        let good = SessionToken::generate().expose().to_owned();
        for at in 0..good.len() {
            for other in [b'0', b'A', b'z', b'-', b' ', 0] {
                let mut bad = good.clone().into_bytes();
                if bad[at] == other {
                    continue;
                }
                bad[at] = other;
                let bad = String::from_utf8(bad).unwrap();
                assert!(SessionToken::parse(&bad).is_err(), "changed at {at}");
            }
        }
    }

    #[test]
    fn garbage_is_refused_by_its_shape() {
        let good = SessionToken::generate().expose().to_owned();
        for bad in [
            "",
            "pr_s_",
            &good[1..],
            &good[..53],
            &format!("{good}0"),
            &format!("{good} "),
            &"é".repeat(27),
        ] {
            assert_eq!(SessionToken::parse(bad).unwrap_err(), MalformedToken::Shape);
        }
    }

    #[test]
    fn token_of_one_kind_is_not_one_of_another() {
        let invite = InviteToken::generate();
        assert_eq!(
            SessionToken::parse(invite.expose()).unwrap_err(),
            MalformedToken::Shape
        );
        let renamed = invite.expose().replace("pr_i_", "pr_s_");
        assert_eq!(
            SessionToken::parse(&renamed).unwrap_err(),
            MalformedToken::Checksum
        );
    }

    #[test]
    fn kind_is_part_of_the_hash() {
        let invite = InviteToken::generate();
        let same_text = SessionToken::from_checked(invite.expose().to_owned());
        assert_ne!(invite.hash(), same_text.hash());
        assert!(invite.hash().matches(invite.hash().as_bytes()));
        assert!(!invite.hash().matches(&invite.hash().as_bytes()[..31]));
    }

    #[test]
    fn tokens_are_never_printed() {
        let token = SessionToken::generate();
        let printed = format!("{token} {token:?} {:?}", token.hash());
        assert_eq!(
            printed,
            "[redacted] Token([redacted]) TokenHash([redacted])"
        );
    }
}
