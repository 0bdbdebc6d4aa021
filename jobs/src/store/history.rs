//! `history_entries`: the history that users see. Append-only, like the audit log.

mod read;

pub use read::{HistoryEntry, HistoryFilter, list};

use crate::domain::{ResourceKind, UserId, history::HistoryVerb};
use base::{JobId, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

/// An entry to insert.
pub struct NewHistoryEntry<'a> {
    /// What happened, in the past tense: `triaged`, `proposed`.
    pub verb: HistoryVerb,
    pub object_kind: ResourceKind,
    pub object: Uuid,
    pub job: Option<JobId>,
    /// The reason, for the user.
    pub rationale: &'a str,
}

/// Inserts an entry for all users of the tenant.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    entry: &NewHistoryEntry<'_>,
) -> Result<(), sqlx::Error> {
    write(conn, tenant, None, entry).await
}

/// Inserts an entry for one user.
pub async fn insert_for(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    entry: &NewHistoryEntry<'_>,
) -> Result<(), sqlx::Error> {
    write(conn, tenant, Some(user), entry).await
}

/// Inserts an entry for the owner, or for all users if there is none.
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
