//! The hashes that prove the audit log: leaves, Merkle roots, the chain of a tenant's seals and the chain of all.
//!
//! Every hash starts with a byte of its own kind, so that none can be passed off as another. docs/operations.md describes
//! them for verifiers in other languages.

use base::{TenantId, hex};
use sha2::{Digest, Sha256};
use std::fmt;

/// A SHA-256 hash; zeroes stand before the first of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SealHash(pub [u8; 32]);

/// What a seal covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub tenant: TenantId,
    /// From 1.
    pub position: i64,
    pub entries: i32,
    pub root: SealHash,
}

/// The newest seal of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub number: i64,
    pub chain: SealHash,
}

/// Hashes one entry in its canonical form (RFC 8785).
pub fn leaf(canonical: &[u8]) -> SealHash {
    hash(0, &[canonical])
}

/// Hashes the leaves of a batch as RFC 6962 does: the left half is the largest power of two that is not all of them.
pub fn root(leaves: &[SealHash]) -> SealHash {
    match leaves {
        [] => SealHash::default(),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            hash(1, &[&root(left).0, &root(right).0])
        }
    }
}

/// Hashes a seal onto the tenant's previous one.
pub fn seal(previous: SealHash, sealed: &Sealed) -> SealHash {
    hash(
        2,
        &[
            &previous.0,
            sealed.tenant.0.as_bytes(),
            &sealed.position.to_be_bytes(),
            &sealed.entries.to_be_bytes(),
            &sealed.root.0,
        ],
    )
}

/// Hashes a seal onto the chain of all tenants.
pub fn chain(previous: SealHash, seal: SealHash) -> SealHash {
    hash(3, &[&previous.0, &seal.0])
}

fn hash(kind: u8, parts: &[&[u8]]) -> SealHash {
    let mut hash = Sha256::new();
    hash.update([kind]);
    for part in parts {
        hash.update(part);
    }
    SealHash(hash.finalize().into())
}

impl SealHash {
    /// Reads a column; `None` if it has another length.
    pub fn from_column(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for SealHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_depends_on_every_leaf_and_their_order() {
        for count in 1..20_u8 {
            let leaves: Vec<SealHash> = (0..count).map(|n| leaf(&[n])).collect();
            let whole = root(&leaves);
            for at in 0..leaves.len() {
                let mut other = leaves.clone();
                other[at] = leaf(b"other");
                assert_ne!(root(&other), whole, "{at} of {count}");
                other.remove(at);
                assert_ne!(root(&other), whole, "{at} of {count}");
            }
            if count > 1 {
                let mut other = leaves.clone();
                other.swap(0, 1);
                assert_ne!(root(&other), whole);
            }
        }
    }

    #[test]
    fn root_of_three_leaves_is_that_of_rfc_6962() {
        let leaves = [b"a", b"b", b"c"].map(|text| leaf(text));
        let left = hash(1, &[&leaves[0].0, &leaves[1].0]);
        assert_eq!(root(&leaves), hash(1, &[&left.0, &leaves[2].0]));
    }

    #[test]
    fn seal_depends_on_everything_it_covers() {
        let sealed = Sealed {
            tenant: TenantId::new(),
            position: 1,
            entries: 2,
            root: leaf(b"x"),
        };
        let first = seal(SealHash::default(), &sealed);
        assert_ne!(seal(first, &sealed), first);
        for other in [
            Sealed {
                tenant: TenantId::new(),
                ..sealed
            },
            Sealed {
                position: 2,
                ..sealed
            },
            Sealed {
                entries: 3,
                ..sealed
            },
            Sealed {
                root: leaf(b"y"),
                ..sealed
            },
        ] {
            assert_ne!(seal(SealHash::default(), &other), first);
        }
    }
}
