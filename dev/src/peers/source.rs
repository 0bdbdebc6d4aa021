//! Where a peer comes from. See [`PeerSource`].

use std::fmt;
use std::str::FromStr;

/// A source of a peer. Not every peer has every source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerSource {
    /// What an earlier run fetched.
    Cached,
    /// What is installed already.
    System,
    /// `PyPI`, by the system's pip.
    Pip,
    /// Debian packages, installed into the system.
    Apt,
    /// Debian packages, unpacked into the cache.
    Deb,
}

impl PeerSource {
    /// Whether it only looks at this machine.
    pub(crate) fn is_local(self) -> bool {
        matches!(self, Self::Cached | Self::System)
    }
}

impl fmt::Display for PeerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cached => "cache",
            Self::System => "system",
            Self::Pip => "pip",
            Self::Apt => "apt",
            Self::Deb => "deb",
        })
    }
}

impl FromStr for PeerSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "system" => Ok(Self::System),
            "pip" => Ok(Self::Pip),
            "apt" => Ok(Self::Apt),
            "deb" => Ok(Self::Deb),
            _ => Err("is none of system, pip, apt, deb".to_owned()),
        }
    }
}
