//! Sealing the audit log: [`seal_entries`], which one worker at a time does.
//!
//! A batch of a tenant's new entries gets a Merkle root and is chained onto the tenant's previous seal and onto the chain
//! of all tenants. A newest [`Head`] that is stored elsewhere proves that nothing before it was changed since.

use super::canonical::canonical;
use crate::{
    domain::audit::seal::{self, Head, SealHash, Sealed},
    store::{
        audit::{self, AuditEntry, Position},
        audit_seals,
    },
};
use base::TenantId;
use sqlx::{PgConnection, PgPool};
use std::time::{Duration, Instant};

/// The most entries under one seal.
const BATCH: u16 = 1_000;
/// The most tenants that are looked for at once.
const TENANTS: u16 = 100;
/// How long one call goes on while there is more; a duty may take 30 s.
const TIME: Duration = Duration::from_secs(8);

/// What a call has sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedEntries {
    pub entries: usize,
    /// The newest seal afterwards.
    pub head: Head,
}

/// Seals the new entries of all tenants, and begins with those whose last seal is oldest. Goes on for eight seconds.
///
/// # Errors
/// If the database refuses; what was sealed before stays sealed.
pub async fn seal_entries(pool: &PgPool) -> Result<SealedEntries, sqlx::Error> {
    let started = Instant::now();
    let mut sealed = 0;
    loop {
        let mut conn = pool.acquire().await?;
        let tenants = audit_seals::unsealed_tenants(&mut conn, TENANTS.into()).await?;
        drop(conn);
        let mut is_behind = tenants.len() == usize::from(TENANTS);
        for tenant in tenants {
            let mut tx = pool.begin().await?;
            let entries = seal_batch(&mut tx, tenant).await?;
            tx.commit().await?;
            is_behind |= entries == usize::from(BATCH);
            sealed += entries;
        }
        if !is_behind {
            break;
        }
        if started.elapsed() > TIME {
            tracing::warn!(
                sealed,
                "audit entries are written faster than they are sealed"
            );
            break;
        }
    }
    Ok(SealedEntries {
        entries: sealed,
        head: audit_seals::head(&mut *pool.acquire().await?).await?,
    })
}

async fn seal_batch(conn: &mut PgConnection, tenant: TenantId) -> Result<usize, sqlx::Error> {
    // Statements after this one see what the previous holder committed.
    audit_seals::lock(conn).await?;
    let newest = audit_seals::newest_of(conn, tenant).await?;
    let after = newest.map_or(Position::START, |newest| newest.last);
    let entries = audit::list(conn, tenant, after, BATCH.into()).await?;
    let Some(last) = entries.last().map(AuditEntry::position) else {
        return Ok(0);
    };
    let sealed = Sealed {
        tenant,
        position: newest.map_or(0, |newest| newest.sealed.position) + 1,
        entries: i32::try_from(entries.len()).unwrap_or(i32::MAX),
        root: root(tenant, &entries),
    };
    let previous = newest.map_or(SealHash::default(), |newest| newest.hash);
    let hash = seal::seal(previous, &sealed);
    let head = audit_seals::head(conn).await?;
    let next = Head {
        number: head.number + 1,
        chain: seal::chain(head.chain, hash),
    };
    audit_seals::insert(conn, &sealed, last, hash, next).await?;
    Ok(entries.len())
}

/// Returns the Merkle root of a batch.
pub(super) fn root(tenant: TenantId, entries: &[AuditEntry]) -> SealHash {
    let leaves: Vec<SealHash> = entries
        .iter()
        .map(|entry| seal::leaf(canonical(tenant, entry).as_bytes()))
        .collect();
    seal::root(&leaves)
}
