//! The last look at a connection before something is done by it, and the step to `in_flight`.

use super::Holder;
use crate::domain::{ConnectionId, EffectId, action::ActionType};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A connection before something is sent by it.
#[derive(Debug)]
pub struct Line {
    pub status: String,
    pub sends_per_hour: i32,
    pub in_a_minute: DateTime<Utc>,
}

/// The connection, held until the transaction ends.
///
/// # Errors
/// When the database does not answer in time.
pub async fn lock_line(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<Option<Line>, sqlx::Error> {
    sqlx::query_as!(
        Line,
        r#"select status, sends_per_hour, now() + interval '1 minute' as "in_a_minute!"
           from connections where tenant_id = $1 and id = $2 for update"#,
        tenant.0,
        connection.0,
    )
    .fetch_optional(conn)
    .await
}

/// When one more mail may be sent by a connection, if as many were sent within the hour as may be. A statement of its own,
/// after [`lock_line`]: one that waits for the lock would not see what the former holder has committed.
///
/// # Errors
/// When the database does not answer in time.
pub async fn full_until(
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
        r#"select begun_at + interval '1 hour' as "until!" from effects
           where tenant_id = $1 and connection_id = $2 and begun_at > now() - interval '1 hour' and type = any($3)
           order by begun_at desc
           offset $4 - 1 limit 1"#,
        tenant.0,
        connection.0,
        &mail,
        sends_per_hour,
    )
    .fetch_optional(conn)
    .await
}

/// Moves an intent to `in_flight` and gives its bytes; `None` when it is no intent any more.
///
/// # Errors
/// When the database refuses, or the intent has no bytes.
pub async fn take_off(
    conn: &mut PgConnection,
    holder: Holder,
    id: EffectId,
    connection: ConnectionId,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update effects set status = 'in_flight', job_id = $3, attempt = $4, connection_id = $5, begun_at = now(),
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
