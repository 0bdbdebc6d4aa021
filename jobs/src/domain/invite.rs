//! Invites: [`EmailAddress`] and [`TenantSlug`] as people type them, and how long an invite is valid.

use std::{fmt, time::Duration};

/// How long an invite can be accepted.
pub const INVITE_LIFETIME: Duration = Duration::from_secs(72 * 60 * 60);

/// An email address. `Debug` does not show it, because addresses stay out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

/// Not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an email address")]
pub struct MalformedEmail;

impl EmailAddress {
    /// Accepts `local@domain` and nothing around it. Only a delivered message proves more.
    ///
    /// # Errors
    /// If either part is missing, there is white space or a control character, or it is longer than 320 bytes.
    pub fn parse(text: &str) -> Result<Self, MalformedEmail> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(MalformedEmail)?;
        let bad = |c: char| c.is_whitespace() || c.is_control() || "<>,;\"\\()".contains(c);
        if local.is_empty()
            || domain.is_empty()
            || text.len() > 320
            || text.chars().any(bad)
            || local.contains('@')
        {
            return Err(MalformedEmail);
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress([redacted])")
    }
}

/// The name of a tenant in log-ins and on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSlug(String);

/// Not a slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 63 lower-case letters, digits and hyphens, and not begin with a hyphen")]
pub struct MalformedSlug;

impl TenantSlug {
    /// # Errors
    /// If it does not match the table's check.
    pub fn parse(text: &str) -> Result<Self, MalformedSlug> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits =
            (1..=63).contains(&text.len()) && text.chars().all(allowed) && !text.starts_with('-');
        fits.then(|| Self(text.to_owned())).ok_or(MalformedSlug)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for TenantSlug {
    type Err = MalformedSlug;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::parse(s)
    }
}

impl std::str::FromStr for EmailAddress {
    type Err = MalformedEmail;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::parse(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_typed_and_nothing_else_is() {
        assert_eq!(
            EmailAddress::parse(" Ada@example.com ").unwrap().expose(),
            "Ada@example.com"
        );
        assert!(EmailAddress::parse("ada+x@bücher.example").is_ok());
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c",
            "a@b\r\nBcc: x@y",
            "Ada <a@b>",
            "a@b,c@d",
            "a@b@c",
            "a@b\0",
        ] {
            assert!(EmailAddress::parse(bad).is_err(), "{bad:?}");
        }
        assert!(EmailAddress::parse(&format!("{}@b", "a".repeat(319))).is_err());
        assert!(!format!("{:?}", EmailAddress::parse("ada@example.com").unwrap()).contains("ada"));
    }

    #[test]
    fn slugs_follow_the_tables_check() {
        for good in ["a", "acme", "a-1", "0", &"a".repeat(63)] {
            assert!(TenantSlug::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "ä", "a b", &"a".repeat(64)] {
            assert!(TenantSlug::parse(bad).is_err(), "{bad}");
        }
    }
}
