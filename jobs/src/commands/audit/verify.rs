//! Verifying the audit log against its seals: [`verify`], and exporting it with them: [`export`].
//!
//! Both read in batches and hold no transaction. Neither changes anything.

use super::{canonical::canonical, seal::root};
use crate::{
    domain::audit::seal::{self, Head, SealHash},
    store::{
        audit::{self, Position},
        audit_seals::{self, Seal},
    },
};
use base::TenantId;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use std::{collections::HashMap, fmt};

/// Seals that are read at once.
const PAGE: i64 = 500;

/// The result of a verification without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    pub entries: i64,
    pub head: Head,
}

/// The first fault, in the order of the seals' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFault {
    /// An entry under this seal was changed, removed, added or moved, or is hidden from look-ups by request id.
    Entries {
        tenant: TenantId,
        position: i64,
        after: Position,
        last: Position,
    },
    /// The seal is not the one that was chained onto its predecessor.
    Seal { number: i64 },
    /// The log ends before the head that was kept elsewhere, or has another chain there.
    Head { kept: Head },
}

/// The log is not whole, or could not be read, which says nothing about it.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the audit log is not whole: {0}")]
    Fault(AuditFault),
    #[error("could not read the audit log")]
    Database(#[from] sqlx::Error),
}

/// The end of a tenant's chain so far.
#[derive(Clone, Copy)]
struct End {
    hash: SealHash,
    position: i64,
    last: Position,
}

/// Recomputes every seal of all tenants. With a head that was `kept` elsewhere, also a cut end is noticed.
///
/// # Errors
/// With the first fault, or if the database does not answer.
pub async fn verify(pool: &PgPool, kept: Option<Head>) -> Result<Verified, VerifyError> {
    let mut conn = pool.acquire().await?;
    let mut ends: HashMap<TenantId, End> = HashMap::new();
    let mut head = Head {
        number: 0,
        chain: SealHash::default(),
    };
    let mut kept_is_there = kept.is_none_or(|kept| kept == head);
    let mut entries = 0;
    loop {
        let seals = audit_seals::list(&mut conn, head.number, PAGE).await?;
        if seals.is_empty() {
            break;
        }
        for next in seals {
            let end = ends.entry(next.sealed.tenant).or_insert(End {
                hash: SealHash::default(),
                position: 0,
                last: Position::START,
            });
            check_entries(&mut conn, end.last, &next).await?;
            check_seal(*end, head, &next)?;
            *end = End {
                hash: next.hash,
                position: next.sealed.position,
                last: next.last,
            };
            head = Head {
                number: next.number,
                chain: next.chain,
            };
            kept_is_there |= kept == Some(head);
            entries += i64::from(next.sealed.entries);
        }
    }
    match kept {
        Some(kept) if !kept_is_there => Err(VerifyError::Fault(AuditFault::Head { kept })),
        _ => Ok(Verified { entries, head }),
    }
}

async fn check_entries(
    conn: &mut PgConnection,
    after: Position,
    next: &Seal,
) -> Result<(), VerifyError> {
    let Seal { sealed, last, .. } = *next;
    // One more than there should be: an added entry must not hide behind the limit.
    let limit = i64::from(sealed.entries) + 1;
    let found = audit::list_until(conn, sealed.tenant, after, Some(last), limit).await?;
    let counted = i32::try_from(found.len()).is_ok_and(|count| count == sealed.entries);
    let whole = counted && root(sealed.tenant, &found) == sealed.root;
    if whole && !audit::has_wrong_hashes(conn, sealed.tenant, after, last).await? {
        Ok(())
    } else {
        Err(VerifyError::Fault(AuditFault::Entries {
            tenant: sealed.tenant,
            position: sealed.position,
            after,
            last,
        }))
    }
}

fn check_seal(end: End, head: Head, next: &Seal) -> Result<(), VerifyError> {
    let whole = next.sealed.position == end.position + 1
        && next.number == head.number + 1
        && next.hash == seal::seal(end.hash, &next.sealed)
        && next.chain == seal::chain(head.chain, next.hash);
    if whole {
        Ok(())
    } else {
        Err(VerifyError::Fault(AuditFault::Seal {
            number: next.number,
        }))
    }
}

/// Passes a tenant's sealed entries and their seals to `line`, each as one line of JSON: the entries of a seal, then it. Of the
/// seals of other tenants only the hash: with all of them the chain of all tenants can be recomputed, and compared with a head
/// that was kept elsewhere.
///
/// # Errors
/// If the database does not answer, or `line` fails.
pub async fn export<E: From<sqlx::Error>>(
    pool: &PgPool,
    tenant: TenantId,
    mut line: impl FnMut(String) -> Result<(), E>,
) -> Result<(), E> {
    let mut conn = pool.acquire().await?;
    let (mut number, mut last) = (0, Position::START);
    loop {
        let seals = audit_seals::list(&mut conn, number, PAGE).await?;
        let Some(newest) = seals.last() else {
            return Ok(());
        };
        number = newest.number;
        for seal in &seals {
            if seal.sealed.tenant != tenant {
                line(json!({ "other_seal": seal.hash.to_string() }).to_string())?;
                continue;
            }
            let limit = i64::from(seal.sealed.entries) + 1;
            let entries =
                audit::list_until(&mut conn, tenant, last, Some(seal.last), limit).await?;
            for entry in entries {
                // As text, so that a verifier hashes exactly these bytes.
                line(json!({ "entry": canonical(tenant, &entry) }).to_string())?;
            }
            line(exported(seal).to_string())?;
            last = seal.last;
        }
    }
}

/// Without the time of sealing, which no hash covers.
fn exported(seal: &Seal) -> serde_json::Value {
    json!({
        "seal": {
            "tenant_id": seal.sealed.tenant,
            "position": seal.sealed.position,
            "entries": seal.sealed.entries,
            "root": seal.sealed.root.to_string(),
            "hash": seal.hash.to_string(),
            "number": seal.number,
            "chain": seal.chain.to_string(),
        }
    })
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entries {
                tenant,
                position,
                after,
                last,
            } => write!(
                f,
                "the entries under seal {position} of tenant {tenant} (after {after}, up to {last}) are not those that were sealed"
            ),
            Self::Seal { number } => {
                write!(
                    f,
                    "seal number {number} does not follow from the seals before it"
                )
            }
            Self::Head { kept } => write!(
                f,
                "the log has no seal number {} with the chain {}: its end was cut off or forged",
                kept.number, kept.chain
            ),
        }
    }
}
