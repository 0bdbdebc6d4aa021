//! The last check of a connection before it is used, and the step to `in_flight`.

use super::Holder;
use crate::domain::{
    ConnectionId, EffectId, UserId, action::ActionType, connection::ConnectionStatus,
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A locked connection, about to be used.
#[derive(Debug)]
pub struct LockedConnection {
    pub user: UserId,
    pub status: ConnectionStatus,
    pub sends_per_hour: i32,
    pub in_a_minute: DateTime<Utc>,
}

/// Locks the connection until the transaction ends.
pub async fn lock_connection(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<Option<LockedConnection>, sqlx::Error> {
    sqlx::query_as!(
        LockedConnection,
        r#"select user_id as "user: UserId", status as "status: ConnectionStatus", sends_per_hour,
               now() + interval '1 minute' as "in_a_minute!"
           from connections where tenant_id = $1 and id = $2 for update"#,
        tenant.0,
        connection.0,
    )
    .fetch_optional(conn)
    .await
}

/// When the hourly limit lets the connection send one more message; `None` if it may now. A statement of its own after
/// [`lock_connection`]: a statement that waits for the lock does not see what the former holder committed.
pub async fn limited_until(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    sends_per_hour: i32,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let mail: Vec<String> = ActionType::ALL
        .iter()
        .filter(|kind| kind.spec().executor.is_message())
        .map(ToString::to_string)
        .collect();
    sqlx::query_scalar!(
        r#"select last_tried_at + interval '1 hour' as "until!" from effects
           where tenant_id = $1 and connection_id = $2 and last_tried_at > now() - interval '1 hour' and type = any($3)
           order by last_tried_at desc
           offset $4 - 1 limit 1"#,
        tenant.0,
        connection.0,
        &mail,
        sends_per_hour,
    )
    .fetch_optional(conn)
    .await
}

/// Moves an intent to `in_flight` and returns its bytes; `None` if it is no longer an intent.
///
/// # Errors
/// When the database refuses, or the intent has no bytes.
pub async fn begin(
    conn: &mut PgConnection,
    holder: Holder,
    id: EffectId,
    connection: ConnectionId,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update effects set status = 'in_flight', job_id = $3, attempt = $4, connection_id = $5, last_tried_at = now(),
               updated_at = now()
           where tenant_id = $1 and id = $2 and status = 'intent'
           returning rendered as "rendered!""#,
        holder.tenant.0,
        id.0,
        holder.job.0,
        holder.attempt,
        connection.0,
    )
    .fetch_optional(conn)
    .await
}
