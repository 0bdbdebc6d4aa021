//! `history_entries`: the user-facing story. Append-only, like the audit log beside it.

mod read;

pub use read::{HistoryEntry, HistoryFilter, list};

use crate::domain::{ResourceKind, UserId, history::HistoryVerb};
use base::{JobId, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

/// One line of the story.
pub struct NewHistoryEntry<'a> {
    /// What happened, in the past tense: `triaged`, `proposed`.
    pub verb: HistoryVerb,
    pub object_kind: ResourceKind,
    pub object: Uuid,
    pub job: Option<JobId>,
    /// Why, for the user.
    pub rationale: &'a str,
}

/// A line that everybody of the tenant may read.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    entry: &NewHistoryEntry<'_>,
) -> Result<(), sqlx::Error> {
    write(conn, tenant, None, entry).await
}

/// A line that only this user may read.
///
/// # Errors
/// When the database refuses.
pub async fn insert_for(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    entry: &NewHistoryEntry<'_>,
) -> Result<(), sqlx::Error> {
    write(conn, tenant, Some(user), entry).await
}

/// A line about something that may have an owner: theirs, or everybody's if it has none.
///
/// # Errors
/// When the database refuses.
pub async fn insert_about(
    conn: &mut PgConnection,
    tenant: TenantId,
    owner: Option<UserId>,
    entry: &NewHistoryEntry<'_>,
) -> Result<(), sqlx::Error> {
    write(conn, tenant, owner, entry).await
}

async fn write(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: Option<UserId>,
    entry: &NewHistoryEntry<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into history_entries (tenant_id, id, verb, object_kind, object_id, job_id, rationale, user_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant.0,
        Uuid::now_v7(),
        entry.verb.as_str(),
        entry.object_kind.as_str(),
        entry.object,
        entry.job.map(|job| job.0),
        entry.rationale,
        user.map(|user| user.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}
