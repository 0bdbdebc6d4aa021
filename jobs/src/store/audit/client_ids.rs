//! `client_request_ids`: the ids that clients gave their requests, beside the log, because they may hold anybody's words and are
//! forgotten with their user.

use super::AuditEntry;
use crate::domain::UserId;
use base::TenantId;
use sqlx::PgConnection;
use std::collections::HashMap;

/// Pairs each entry with the id that the client gave its request. No seal covers it.
pub async fn pair(
    conn: &mut PgConnection,
    tenant: TenantId,
    entries: Vec<AuditEntry>,
) -> Result<Vec<(AuditEntry, Option<String>)>, sqlx::Error> {
    let mut ours: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.request_id.clone())
        .collect();
    ours.sort_unstable();
    ours.dedup();
    let rows = sqlx::query!(
        "select request_id, client_request_id from client_request_ids where tenant_id = $1 and request_id = any ($2)",
        tenant.0,
        &ours,
    )
    .fetch_all(conn)
    .await?;
    let named: HashMap<String, String> = rows
        .into_iter()
        .map(|row| (row.request_id, row.client_request_id))
        .collect();
    let pairs = entries.into_iter().map(|entry| {
        let name = entry.request_id.as_ref().and_then(|id| named.get(id));
        let name = name.cloned();
        (entry, name)
    });
    Ok(pairs.collect())
}

/// Lists our ids of the requests to which the client gave this id.
pub(super) async fn ours(
    conn: &mut PgConnection,
    tenant: TenantId,
    client_request_id: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct request_id from client_request_ids where tenant_id = $1 and client_request_id = $2",
        tenant.0,
        client_request_id,
    )
    .fetch_all(conn)
    .await
}

/// Forgets the ids that this user gave their requests.
pub async fn forget(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from client_request_ids where tenant_id = $1 and actor_id = $2",
        tenant.0,
        user.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}
