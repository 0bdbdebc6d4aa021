//! Deletes expired memory, in small batches.

use super::{entry, record_end};
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{Actor, AuditAction, NewAuditEntry},
    store::{
        audit,
        memory_items::{self, Swept},
    },
};
use sqlx::{PgConnection, PgPool};

/// Expires up to `limit` items and purges as many that ended long ago; returns the larger number.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn sweep_memory(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let expired = memory_items::expire(&mut tx, i64::from(limit)).await?;
    record_expired(&mut tx, &expired).await?;
    let purged = memory_items::purge(&mut tx, i64::from(limit)).await?;
    tx.commit().await?;
    Ok(purged.max(u64::try_from(expired.len()).unwrap_or(u64::MAX)))
}

pub(super) async fn record_expired(
    conn: &mut PgConnection,
    expired: &[Swept],
) -> Result<(), sqlx::Error> {
    for item in expired {
        let what = (item.id, item.level.as_str());
        record_end(conn, (item.tenant, item.user), HistoryVerb::Expired, what).await?;
    }
    let entries: Vec<NewAuditEntry> = expired
        .iter()
        .map(|item| {
            entry(
                item.tenant,
                Actor::System,
                AuditAction::MemoryExpired,
                item.id,
            )
        })
        .collect();
    audit::insert(conn, &entries).await
}
