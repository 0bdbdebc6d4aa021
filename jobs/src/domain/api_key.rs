//! API keys: what a program may do with one ([`KeyScopes`]), from where ([`AddressRange`]) and for how long.
//!
//! A key is an identity of its own, not its creator's: it outlives their session and their account. Its scopes are an
//! enum of their own, so that no key can approve, manage access or read what belongs to one person.

use super::scope::Scope;
use base::str_enum;
use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

/// The most characters of a key's name.
pub const MAX_NAME: usize = 100;
/// The most address ranges of a key.
pub const MAX_RANGES: usize = 20;
/// The longest time until a key expires, in days.
pub const MAX_LIFETIME_DAYS: u32 = 365;
/// The most keys of a tenant that are not revoked.
pub const MAX_KEYS: i64 = 100;
/// How long a rotated token stays valid, unless the request says otherwise: enough to deploy its successor.
pub const ROTATION_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest time that a rotated token may stay valid.
pub const MAX_ROTATION_GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

str_enum! {
    /// A permission that an API key can carry.
    #[schemars(rename = "ApiKeyScope")]
    KeyScope {
        JobsRead = "jobs:read",
        JobsWrite = "jobs:write",
        RulesRead = "rules:read",
        RulesWrite = "rules:write",
        ApprovalsRead = "approvals:read",
        /// Reads the drafts of all users, beside what the other permissions open.
        ApprovalsReadAll = "approvals:read_all",
        RecordsRead = "records:read",
        RecordsWrite = "records:write",
        HistoryRead = "history:read",
        AuditRead = "audit:read",
    }
}

impl KeyScope {
    /// Returns the scope of operations that this permission opens.
    pub const fn scope(self) -> Scope {
        match self {
            Self::JobsRead => Scope::JobsRead,
            Self::JobsWrite => Scope::JobsWrite,
            Self::RulesRead => Scope::RulesRead,
            Self::RulesWrite => Scope::RulesWrite,
            Self::ApprovalsRead => Scope::ApprovalsRead,
            Self::ApprovalsReadAll => Scope::ApprovalsReadAll,
            Self::RecordsRead => Scope::RecordsRead,
            Self::RecordsWrite => Scope::RecordsWrite,
            Self::HistoryRead => Scope::HistoryRead,
            Self::AuditRead => Scope::AuditRead,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The permissions of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyScopes(u16);

impl KeyScopes {
    pub fn carries(self, scope: Scope) -> bool {
        self.iter().any(|own| own.scope() == scope)
    }

    /// Iterates over the permissions in the order of [`KeyScope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = KeyScope> {
        KeyScope::ALL
            .iter()
            .copied()
            .filter(move |scope| self.0 & scope.bit() != 0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads the words of a row; `None` if one is unknown.
    pub fn parse(words: &[String]) -> Option<Self> {
        words.iter().map(|word| KeyScope::parse(word)).collect()
    }

    /// Returns the words to store.
    pub fn words(self) -> Vec<String> {
        self.iter().map(|scope| scope.as_str().to_owned()).collect()
    }
}

impl FromIterator<KeyScope> for KeyScopes {
    fn from_iter<I: IntoIterator<Item = KeyScope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// A range of addresses in CIDR notation: `192.0.2.0/24`, `2001:db8::/32`; one address is a range too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    address: IpAddr,
    prefix: u8,
}

/// Not a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRange {
    #[error("must be an IP address or a range such as 192.0.2.0/24")]
    Syntax,
    /// Postgres refuses such a range too: it is unclear which part was mistyped.
    #[error("has bits set beyond its prefix length")]
    HostBits,
}

impl FromStr for AddressRange {
    type Err = MalformedRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| MalformedRange::Syntax)?;
        let (bits, width) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let plain = |p: &&str| p.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = match prefix {
            None => width,
            Some(prefix) => Some(prefix)
                .filter(plain)
                .and_then(|prefix| prefix.parse().ok())
                .filter(|prefix| *prefix <= width)
                .ok_or(MalformedRange::Syntax)?,
        };
        if bits.trailing_zeros() < u32::from(width - prefix) {
            return Err(MalformedRange::HostBits);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_scope_has_the_name_of_the_scope_it_opens() {
        for own in KeyScope::ALL {
            assert_eq!(own.as_str(), own.scope().as_str());
        }
    }

    #[test]
    fn keys_never_approve_nor_manage_access_nor_read_a_persons_own() {
        let every: KeyScopes = KeyScope::ALL.iter().copied().collect();
        for scope in [
            Scope::OwnSessions,
            Scope::ApprovalsDecide,
            Scope::ConnectionsOwn,
            Scope::SettingsWrite,
            Scope::InvitesManage,
            Scope::KeysManage,
            Scope::UsersManage,
            Scope::MemoryRead,
            Scope::MemoryWrite,
            Scope::BlocksRead,
            Scope::BlocksWrite,
            Scope::OperatorsRead,
            Scope::OperatorsWrite,
        ] {
            assert!(!every.carries(scope), "{}", scope.as_str());
        }
    }

    #[test]
    fn scopes_are_a_set() {
        let some: KeyScopes = [KeyScope::AuditRead, KeyScope::JobsRead, KeyScope::AuditRead]
            .into_iter()
            .collect();
        assert_eq!(some.words(), ["jobs:read", "audit:read"]);
        assert_eq!(KeyScopes::parse(&some.words()), Some(some));
        assert_eq!(KeyScopes::parse(&["approvals:decide".to_owned()]), None);
        assert!(!some.is_empty() && some.carries(Scope::JobsRead));
        assert!(!some.carries(Scope::JobsWrite));
    }

    #[test]
    fn ranges_are_what_postgres_takes_as_cidr() {
        for (text, stored) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
        ] {
            let range: AddressRange = text.parse().unwrap();
            assert_eq!(range.to_string(), stored);
        }
        for text in ["192.0.2.7/24", "2001:db8::1/32", "10.0.0.0/0"] {
            assert_eq!(
                text.parse::<AddressRange>(),
                Err(MalformedRange::HostBits),
                "{text}"
            );
        }
        for text in [
            "",
            "/",
            "192.0.2.0/",
            "192.0.2.0/33",
            "192.0.2.0/+8",
            "a/8",
            "::/129",
            "1.2.3",
        ] {
            assert_eq!(
                text.parse::<AddressRange>(),
                Err(MalformedRange::Syntax),
                "{text}"
            );
        }
    }
}
