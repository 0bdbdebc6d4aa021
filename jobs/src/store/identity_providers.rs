//! `identity_providers`: a tenant's identity provider with its keys, and `exchanged_tokens`, the tokens that were used.

use crate::domain::identity_provider::Provider;
use base::TenantId;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

/// A provider to store.
#[derive(Clone, Debug)]
pub struct NewProvider<'a> {
    pub provider: &'a Provider,
    /// Where a worker fetches the keys.
    pub jwks_url: Option<&'a str>,
    /// The keys, if they were given.
    pub keys: Option<&'a Value>,
}

/// A stored provider.
#[derive(Clone, Debug)]
pub struct StoredProvider {
    pub provider: Provider,
    pub jwks_url: Option<String>,
    /// `None` until they were fetched.
    pub keys: Option<Value>,
    pub fetched_at: Option<DateTime<Utc>>,
    /// Why the last answer was of no use; a code.
    pub last_error: Option<String>,
    /// The database's time: tokens expire by one clock.
    pub now: DateTime<Utc>,
}

/// Fetched keys are used no longer than this, however long their server fails: it may have withdrawn one of them.
const KEYS_LAST: TimeDelta = TimeDelta::days(1);

impl StoredProvider {
    /// The keys, unless they were fetched too long ago.
    pub fn current_keys(&self) -> Option<&Value> {
        let is_old = |fetched_at| self.now - fetched_at > KEYS_LAST;
        if self.jwks_url.is_some() && self.fetched_at.is_none_or(is_old) {
            return None;
        }
        self.keys.as_ref()
    }
}

/// Keys to be fetched.
#[derive(Clone, Debug)]
pub struct DueKeys {
    pub tenant: TenantId,
    pub jwks_url: String,
}

/// Stores the tenant's provider in place of the one it had.
pub async fn put(
    conn: &mut PgConnection,
    tenant: TenantId,
    new: &NewProvider<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into identity_providers (tenant_id, issuer, audience, jwks_url, keys) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id) do update
         set issuer = excluded.issuer, audience = excluded.audience, jwks_url = excluded.jwks_url, keys = excluded.keys,
             fetched_at = null, asked_at = null, wanted_at = null, last_error = null, created_at = now()",
        tenant.0,
        new.provider.issuer,
        new.provider.audience,
        new.jwks_url,
        new.keys,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes the tenant's provider. False if it has none.
pub async fn delete(conn: &mut PgConnection, tenant: TenantId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from identity_providers where tenant_id = $1",
        tenant.0
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Finds the tenant's provider.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<StoredProvider>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select issuer, audience, jwks_url, keys, fetched_at, last_error, now() as "now!"
        from identity_providers
        where tenant_id = $1
        "#,
        tenant.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| StoredProvider {
        provider: Provider {
            issuer: row.issuer,
            audience: row.audience,
        },
        jwks_url: row.jwks_url,
        keys: row.keys,
        fetched_at: row.fetched_at,
        last_error: row.last_error,
        now: row.now,
    }))
}

/// Records that a token named a key that is not among the tenant's.
pub async fn want_keys(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update identity_providers set wanted_at = now()
         where tenant_id = $1 and jwks_url is not null and (wanted_at is null or wanted_at <= asked_at)",
        tenant.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes up to `limit` providers whose keys are due: never fetched, wanted, or an hour old. Each is asked once a minute at
/// most, whatever it answers and whichever worker dies meanwhile.
pub async fn take_due<'c>(
    executor: impl PgExecutor<'c>,
    limit: i64,
) -> Result<Vec<DueKeys>, sqlx::Error> {
    sqlx::query_as!(
        DueKeys,
        r#"
        with due as (
            select tenant_id from identity_providers
            where jwks_url is not null
                and (asked_at is null or asked_at < now() - interval '1 minute'
                    and (keys is null or wanted_at > asked_at or asked_at < now() - interval '1 hour'))
            order by asked_at nulls first, tenant_id
            limit $1
            for update skip locked
        )
        update identity_providers p set asked_at = now()
        from due
        where p.tenant_id = due.tenant_id
        returning p.tenant_id as "tenant: TenantId", p.jwks_url as "jwks_url!"
        "#,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Stores fetched keys, unless the provider was replaced meanwhile.
pub async fn set_keys<'c>(
    executor: impl PgExecutor<'c>,
    due: &DueKeys,
    keys: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update identity_providers set keys = $3, fetched_at = now(), last_error = null
         where tenant_id = $1 and jwks_url = $2",
        due.tenant.0,
        due.jwks_url,
        keys,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Records why the keys could not be fetched. Those that are there stay, for a day.
pub async fn set_error<'c>(
    executor: impl PgExecutor<'c>,
    due: &DueKeys,
    code: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update identity_providers set last_error = $3 where tenant_id = $1 and jwks_url = $2",
        due.tenant.0,
        due.jwks_url,
        code,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Uses up a token. False if it was used before: of two requests at once one gets it.
pub async fn use_token(
    conn: &mut PgConnection,
    tenant: TenantId,
    token_hash: &[u8],
    expires_at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into exchanged_tokens (tenant_id, token_hash, expires_at) values ($1, $2, $3) on conflict do nothing",
        tenant.0,
        token_hash,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes up to `limit` used tokens that have expired; returns how many.
pub async fn purge_tokens(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from exchanged_tokens where ctid = any(array(
             select ctid from exchanged_tokens where expires_at < now()
             order by expires_at limit $1 for update skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
