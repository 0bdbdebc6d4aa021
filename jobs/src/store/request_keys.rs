//! `request_keys`: idempotency keys. A key is claimed, and its answer stored, in the transaction that does the work; a
//! second request waits for that transaction and finds the answer.
//!
//! Start with [`claim`]. READ COMMITTED is required: under REPEATABLE READ the second request fails instead of waiting.

pub mod many;

use crate::domain::UserId;
use base::TenantId;
use sqlx::PgConnection;

/// The scope of a key. Two tenants, users or operations never share one.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey<'a> {
    pub tenant: TenantId,
    /// The user and not the session: a key outlives a new login.
    pub actor: UserId,
    pub operation: &'a str,
    /// 1 to 255 characters.
    pub key: &'a str,
}

/// A stored answer, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    pub status: u16,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// The former use of a key.
#[derive(Clone, Debug)]
pub struct StoredRequest {
    pub fingerprint: Vec<u8>,
    pub answer: StoredAnswer,
}

/// Claims the key for 7 days, also if it has expired. False if it is taken.
///
/// While another transaction claims the same key, waits for at most the connection's lock timeout of 2 s. If that
/// transaction rolls back, this one gets the key.
///
/// # Errors
/// When the lock timeout passed (`55P03`) or the database refuses.
pub async fn claim(
    conn: &mut PgConnection,
    key: &RequestKey<'_>,
    fingerprint: &[u8; 32],
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into request_keys (tenant_id, actor_id, operation, key, fingerprint, expires_at)
         values ($1, $2, $3, $4, $5, now() + interval '7 days')
         on conflict (tenant_id, actor_id, operation, key) do update
             set fingerprint = excluded.fingerprint, status = null, location = null, body = null,
                 created_at = now(), expires_at = excluded.expires_at
             where request_keys.expires_at <= now()",
        key.tenant.0,
        key.actor.0,
        key.operation,
        key.key,
        &fingerprint[..],
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Finds the former use of a taken key.
///
/// # Errors
/// When the database does not answer, or the row has no answer, which every committed row has.
pub async fn find(
    conn: &mut PgConnection,
    key: &RequestKey<'_>,
) -> Result<StoredRequest, sqlx::Error> {
    let row = sqlx::query!(
        r#"select fingerprint, status as "status!", location, body as "body!"
           from request_keys where tenant_id = $1 and actor_id = $2 and operation = $3 and key = $4"#,
        key.tenant.0,
        key.actor.0,
        key.operation,
        key.key,
    )
    .fetch_one(conn)
    .await?;
    Ok(StoredRequest {
        fingerprint: row.fingerprint,
        answer: StoredAnswer {
            status: u16::try_from(row.status)
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            location: row.location,
            body: row.body,
        },
    })
}

/// Stores the answer under a key that this transaction claimed.
pub async fn complete(
    conn: &mut PgConnection,
    key: &RequestKey<'_>,
    answer: &StoredAnswer,
) -> Result<(), sqlx::Error> {
    let status =
        i16::try_from(answer.status).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    sqlx::query!(
        "update request_keys set status = $5, location = $6, body = $7
         where tenant_id = $1 and actor_id = $2 and operation = $3 and key = $4",
        key.tenant.0,
        key.actor.0,
        key.operation,
        key.key,
        status,
        answer.location,
        &answer.body,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` expired keys; [`claim`] does not depend on it.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "with expired as (
             select tenant_id, actor_id, operation, key from request_keys
             where expires_at <= now()
             order by expires_at, tenant_id, actor_id, operation, key limit $1 for update skip locked
         )
         delete from request_keys using expired
         where request_keys.tenant_id = expired.tenant_id and request_keys.actor_id = expired.actor_id
             and request_keys.operation = expired.operation and request_keys.key = expired.key",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
