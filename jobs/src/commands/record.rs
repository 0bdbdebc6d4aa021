//! Tasks, projects and contacts: what is [`Kept`] on the desk. The functions of each work inside the transaction they are
//! given, so that an action's effect commits together with its line in the ledger; [`asked`] is what people ask for
//! themselves, with audit, history and the answer to repeat. [`items`] is the inbox.

pub mod command;
mod error;

pub use error::DeskError;

use crate::domain::{Action, UserId};
use async_trait::async_trait;
use base::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

/// A kind of thing that is made, changed under its version, deleted, and brought back.
#[async_trait]
pub trait Kept: Send + Sync + 'static {
    /// As people call it, and as audit and history do.
    const NOUN: &'static str;
    const CREATED: Action;
    const UPDATED: Action;
    const DELETED: Action;
    const RESTORED: Action;

    type New: Send + Sync;
    type Change: Send + Sync;
    type Stored: Clone + Send + Sync;

    fn facts(stored: &Self::Stored) -> Facts<'_>;

    /// Deleted or not.
    ///
    /// # Errors
    /// When the database does not answer.
    async fn find(
        conn: &mut PgConnection,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Option<Self::Stored>, sqlx::Error>;

    /// Makes whoever else wants to change it wait until the transaction ends. False if there is none.
    ///
    /// # Errors
    /// When the database does not answer in time.
    async fn lock(conn: &mut PgConnection, tenant: TenantId, id: Uuid)
    -> Result<bool, sqlx::Error>;

    /// Makes one; `by` is nobody if a rule does.
    ///
    /// # Errors
    /// [`DeskError::Taken`] if what must be its own is another's.
    async fn create(
        conn: &mut PgConnection,
        tenant: TenantId,
        by: Option<UserId>,
        new: &Self::New,
    ) -> Result<Self::Stored, DeskError>;

    /// Writes the change of one that is live and locked.
    ///
    /// # Errors
    /// [`DeskError::Taken`] if what must be its own is another's.
    async fn write(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &Self::Stored,
        change: &Self::Change,
    ) -> Result<(), DeskError>;

    /// Hides one that is live and locked, and what depends on it. Gives back how many went with it.
    ///
    /// # Errors
    /// When the database refuses.
    async fn hide(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &Self::Stored,
    ) -> Result<usize, DeskError>;

    /// Brings back one that is deleted and locked, and exactly what went with it. Gives back how many came with it.
    ///
    /// # Errors
    /// [`DeskError::Taken`] if its place was taken meanwhile.
    async fn bring_back(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &Self::Stored,
    ) -> Result<usize, DeskError>;
}

/// What is the same about all of them.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub id: Uuid,
    /// Title or name, for people.
    pub name: &'a str,
    pub version: i32,
    /// What it was deleted with.
    pub deletion: Option<Uuid>,
}

/// One of them before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed<T> {
    pub before: T,
    pub after: T,
    /// How many others went, or came back, with it.
    pub others: usize,
}

/// Changes one that is live. `seen` is the version that the change is based on; without it, whatever is there is changed.
///
/// # Errors
/// Then nothing was changed that outlives the caller's rollback.
pub async fn change<T: Kept>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<i32>,
    change: &T::Change,
) -> Result<Changed<T::Stored>, DeskError> {
    let before = live::<T>(conn, tenant, id, seen).await?;
    T::write(conn, tenant, &before, change).await?;
    after::<T>(conn, tenant, before, 0).await
}

/// Deletes one that is live, with what depends on it.
///
/// # Errors
/// As [`change`].
pub async fn delete<T: Kept>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<i32>,
) -> Result<Changed<T::Stored>, DeskError> {
    let before = live::<T>(conn, tenant, id, seen).await?;
    let others = T::hide(conn, tenant, &before).await?;
    after::<T>(conn, tenant, before, others).await
}

/// Takes a deletion back, with exactly what went with it.
///
/// # Errors
/// As [`change`].
pub async fn restore<T: Kept>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<i32>,
) -> Result<Changed<T::Stored>, DeskError> {
    let before = present::<T>(conn, tenant, id, seen).await?;
    if T::facts(&before).deletion.is_none() {
        return Err(DeskError::NotDeleted(T::NOUN));
    }
    let others = T::bring_back(conn, tenant, &before).await?;
    after::<T>(conn, tenant, before, others).await
}

pub(crate) async fn live<T: Kept>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<i32>,
) -> Result<T::Stored, DeskError> {
    let found = present::<T>(conn, tenant, id, seen).await?;
    if T::facts(&found).deletion.is_some() {
        return Err(DeskError::Deleted(T::NOUN));
    }
    Ok(found)
}

/// Locked, and as the caller has seen it.
async fn present<T: Kept>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<i32>,
) -> Result<T::Stored, DeskError> {
    if !T::lock(conn, tenant, id).await? {
        return Err(DeskError::NotFound(T::NOUN));
    }
    let found = found::<T>(conn, tenant, id).await?;
    let version = T::facts(&found).version;
    match seen {
        Some(asked) if asked != version => Err(DeskError::Stale {
            asked,
            present: version,
        }),
        _ => Ok(found),
    }
}

async fn after<T: Kept>(
    conn: &mut PgConnection,
    tenant: TenantId,
    before: T::Stored,
    others: usize,
) -> Result<Changed<T::Stored>, DeskError> {
    let after = found::<T>(conn, tenant, T::facts(&before).id).await?;
    Ok(Changed {
        before,
        after,
        others,
    })
}

pub(crate) async fn found<T: Kept>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<T::Stored, DeskError> {
    T::find(conn, tenant, id)
        .await?
        .ok_or(DeskError::NotFound(T::NOUN))
}
