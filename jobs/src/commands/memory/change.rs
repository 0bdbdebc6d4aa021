//! What a user does with an item that is remembered: pin it, let go of it, delete it.

use super::{MemoryError, Occasion, tell};
use crate::{
    domain::{Action, Actor, MemoryId, Session, memory::Status},
    store::memory_items::{self, StoredMemory},
};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// What is to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not evicted any more, and has no end.
    Pin,
    /// It ends as its level says, from now.
    Unpin,
    Delete,
}

/// Changes an item of the user's that is remembered, as they saw it, and gives it back as it is then; one that was
/// deleted, as it was.
///
/// # Errors
/// [`MemoryError::NotFound`] or [`MemoryError::Stale`], or when the database refuses.
pub async fn change_memory(
    pool: &PgPool,
    session: &Session,
    (id, version): (MemoryId, i32),
    change: Change,
    request_id: &str,
    at: DateTime<Utc>,
) -> Result<StoredMemory, MemoryError> {
    let (tenant, user) = (session.tenant, session.user);
    let occasion = Occasion {
        actor: Actor::User {
            user,
            session: Some(session.id),
        },
        job: None,
        request_id: Some(request_id),
        at,
    };
    let mut tx = pool.begin().await?;
    // The level is found first and locked then: it is the item's for good, all else is read under the lock.
    let level = memory_items::find(&mut tx, tenant, user, id)
        .await?
        .ok_or(MemoryError::NotFound)?
        .level;
    memory_items::lock(&mut tx, tenant, user, level).await?;
    let present = memory_items::find(&mut tx, tenant, user, id)
        .await?
        .filter(|item| item.status == Status::Active)
        .ok_or(MemoryError::NotFound)?;
    if present.version != version {
        return Err(MemoryError::Stale);
    }
    let action = match change {
        Change::Pin | Change::Unpin if present.pinned == (change == Change::Pin) => {
            return Ok(present);
        }
        Change::Pin => {
            memory_items::set_pinned(&mut tx, tenant, id, true, None).await?;
            Action::MEMORY_PINNED
        }
        Change::Unpin => {
            let by_level = level.time_to_live().map(|ttl| at + ttl);
            let expires_at = present.expires_at.or(by_level);
            memory_items::set_pinned(&mut tx, tenant, id, false, expires_at).await?;
            Action::MEMORY_UNPINNED
        }
        Change::Delete => {
            memory_items::end(&mut tx, tenant, id, Status::Deleted).await?;
            Action::MEMORY_DELETED
        }
    };
    let changed = if change == Change::Delete {
        present
    } else {
        memory_items::find(&mut tx, tenant, user, id)
            .await?
            .ok_or(MemoryError::NotFound)?
    };
    tell(&mut tx, tenant, user, action, &changed, occasion).await?;
    tx.commit().await?;
    Ok(changed)
}
