//! The trait that tasks, projects and contacts share: [`Record`]. The functions here run in the caller's transaction,
//! so that an action's effect commits with its ledger row; [`command`] is for people, with audit, history and the
//! stored answer.

pub mod command;
mod error;

pub use error::{RecordError, Reference};

use crate::domain::ResourceKind;
use crate::domain::{
    AuditAction, SeenVersions, UserId,
    name::{Name, TITLE_CHARS},
};
use async_trait::async_trait;
use base::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

/// A kind of record that is created, changed by version, deleted and restored.
#[async_trait]
pub trait Record: Send + Sync + 'static {
    /// The kind in audit and history entries.
    const KIND: ResourceKind;
    /// The noun in messages.
    const NOUN: &'static str = Self::KIND.as_str();
    const CREATED: AuditAction;
    const UPDATED: AuditAction;
    const DELETED: AuditAction;
    const RESTORED: AuditAction;

    type New: Send + Sync;
    /// By default it changes nothing.
    type Change: Default + PartialEq + Send + Sync;
    type Stored: Clone + Send + Sync;

    fn facts(stored: &Self::Stored) -> RecordFacts<'_>;

    /// Finds a record, deleted or not.
    async fn find(
        conn: &mut PgConnection,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Option<Self::Stored>, sqlx::Error>;

    /// Locks a record until the transaction ends. False if there is none.
    async fn lock(conn: &mut PgConnection, tenant: TenantId, id: Uuid)
    -> Result<bool, sqlx::Error>;

    /// Creates a record; `by` is `None` if a rule does.
    ///
    /// # Errors
    /// [`RecordError::Taken`] if a value that must be unique is taken.
    async fn create(
        conn: &mut PgConnection,
        tenant: TenantId,
        by: Option<UserId>,
        new: &Self::New,
    ) -> Result<Self::Stored, RecordError>;

    /// Writes the change of a live, locked record.
    ///
    /// # Errors
    /// [`RecordError::Taken`] if a value that must be unique is taken.
    async fn write(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &Self::Stored,
        change: &Self::Change,
    ) -> Result<(), RecordError>;

    /// Deletes a live, locked record and what depends on it. Returns the number of the others.
    async fn hide(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &Self::Stored,
    ) -> Result<usize, RecordError>;

    /// Restores a deleted, locked record and exactly what was deleted with it. Returns the number of the others.
    ///
    /// # Errors
    /// [`RecordError::Taken`] if its name was taken meanwhile.
    async fn bring_back(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &Self::Stored,
    ) -> Result<usize, RecordError>;
}

/// What all kinds have in common.
#[derive(Clone, Copy, Debug)]
pub struct RecordFacts<'a> {
    pub id: Uuid,
    /// Title or name.
    pub name: &'a str,
    pub version: i32,
    /// The deletion that it is part of.
    pub deletion: Option<Uuid>,
}

/// A record before and after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed<T> {
    pub before: T,
    pub after: T,
    /// The number of records that were deleted or restored with it.
    pub others: usize,
}

/// Changes a live record; a change that names nothing leaves its version. `seen` is what the change is based on; without it any version is changed.
///
/// # Errors
/// Then nothing was changed that outlives the caller's rollback.
pub async fn change<T: Record>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<&SeenVersions>,
    change: &T::Change,
) -> Result<Changed<T::Stored>, RecordError> {
    let before = live::<T>(conn, tenant, id, seen).await?;
    if *change != T::Change::default() {
        T::write(conn, tenant, &before, change).await?;
    }
    after::<T>(conn, tenant, before, 0).await
}

/// Deletes a live record and what depends on it.
///
/// # Errors
/// As [`change`].
pub async fn delete<T: Record>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<&SeenVersions>,
) -> Result<Changed<T::Stored>, RecordError> {
    let before = live::<T>(conn, tenant, id, seen).await?;
    let others = T::hide(conn, tenant, &before).await?;
    after::<T>(conn, tenant, before, others).await
}

/// Restores a deleted record and exactly what was deleted with it.
///
/// # Errors
/// As [`change`].
pub async fn restore<T: Record>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<&SeenVersions>,
) -> Result<Changed<T::Stored>, RecordError> {
    let before = present::<T>(conn, tenant, id, seen).await?;
    if T::facts(&before).deletion.is_none() {
        return Err(RecordError::NotDeleted(T::NOUN));
    }
    let others = T::bring_back(conn, tenant, &before).await?;
    after::<T>(conn, tenant, before, others).await
}

pub(crate) async fn live<T: Record>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<&SeenVersions>,
) -> Result<T::Stored, RecordError> {
    let found = present::<T>(conn, tenant, id, seen).await?;
    if T::facts(&found).deletion.is_some() {
        return Err(RecordError::Deleted(T::NOUN));
    }
    Ok(found)
}

/// Locks the record and checks the version.
async fn present<T: Record>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    seen: Option<&SeenVersions>,
) -> Result<T::Stored, RecordError> {
    if !T::lock(conn, tenant, id).await? {
        return Err(RecordError::NotFound(T::NOUN));
    }
    let found = found::<T>(conn, tenant, id).await?;
    let version = T::facts(&found).version;
    match seen {
        Some(seen) if !seen.include(version) => Err(RecordError::Stale { present: version }),
        _ => Ok(found),
    }
}

async fn after<T: Record>(
    conn: &mut PgConnection,
    tenant: TenantId,
    before: T::Stored,
    others: usize,
) -> Result<Changed<T::Stored>, RecordError> {
    let after = found::<T>(conn, tenant, T::facts(&before).id).await?;
    Ok(Changed {
        before,
        after,
        others,
    })
}

pub(crate) async fn found<T: Record>(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<T::Stored, RecordError> {
    T::find(conn, tenant, id)
        .await?
        .ok_or(RecordError::NotFound(T::NOUN))
}

/// Reads a stored name, which was valid when it was written.
pub(crate) fn stored_name(text: &str) -> Result<Name, RecordError> {
    Name::parse(text, TITLE_CHARS)
        .map_err(|fault| RecordError::Database(sqlx::Error::Decode(Box::new(fault))))
}
