//! Pinning, unpinning and deleting a memory item.

use super::{Cause, MemoryError, record_change};
use crate::{
    domain::{Actor, AuditAction, MemoryId, SeenVersions, Session, memory::Status},
    store::memory_items::{self, StoredMemory},
};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// What to do with the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Keeps it from eviction and expiry.
    Pin,
    /// Lets it expire as its level says, from now.
    Unpin,
    Delete,
}

/// Changes a stored item of the user, in a version that they saw, and returns it; a deleted one as it was before.
///
/// # Errors
/// [`MemoryError::NotFound`] or [`MemoryError::Stale`], or if the database refuses.
pub async fn change_memory(
    pool: &PgPool,
    session: &Session,
    (id, seen): (MemoryId, &SeenVersions),
    change: Change,
    request_id: &str,
    at: DateTime<Utc>,
) -> Result<StoredMemory, MemoryError> {
    let (tenant, user) = (session.tenant, session.user);
    let cause = Cause {
        actor: Actor::User {
            user,
            session: Some(session.id),
        },
        job: None,
        request_id: Some(request_id),
        client_request_id: session.client_request_id.as_deref(),
        at,
    };
    let mut tx = pool.begin().await?;
    // Reads the level without a lock, which never changes, and everything else under the level's lock.
    let level = memory_items::find(&mut tx, tenant, user, id)
        .await?
        .ok_or(MemoryError::NotFound)?
        .level;
    memory_items::lock(&mut tx, tenant, user, level).await?;
    let present = memory_items::find(&mut tx, tenant, user, id)
        .await?
        .filter(|item| item.status == Status::Active)
        .ok_or(MemoryError::NotFound)?;
    if !seen.include(present.version) {
        return Err(MemoryError::Stale);
    }
    let action = match change {
        Change::Pin | Change::Unpin if present.pinned == (change == Change::Pin) => {
            return Ok(present);
        }
        Change::Pin => {
            memory_items::set_pinned(&mut tx, tenant, id, true, None).await?;
            AuditAction::MemoryPinned
        }
        Change::Unpin => {
            let by_level = level.time_to_live().map(|ttl| at + ttl);
            let expires_at = present.expires_at.or(by_level);
            memory_items::set_pinned(&mut tx, tenant, id, false, expires_at).await?;
            AuditAction::MemoryUnpinned
        }
        Change::Delete => {
            memory_items::end(&mut tx, tenant, id, Status::Deleted).await?;
            AuditAction::MemoryDeleted
        }
    };
    let changed = if change == Change::Delete {
        present
    } else {
        memory_items::find(&mut tx, tenant, user, id)
            .await?
            .ok_or(MemoryError::NotFound)?
    };
    record_change(&mut tx, tenant, user, action, &changed, cause).await?;
    tx.commit().await?;
    Ok(changed)
}
