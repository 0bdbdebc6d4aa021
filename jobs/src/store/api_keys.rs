//! `api_keys` and `api_key_tokens`: what programs authenticate with. Hashes only; a token is shown once, when it is made.
//!
//! Start with [`present`], the first statement of a request with a key.

use crate::domain::{
    ApiKeyId, Caller, Session, SessionId, UserId,
    api_key::{AddressRange, KeyScopes},
    session::AuthMethod,
    token::TokenHash,
};
use base::{TenantId, str_enum};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use std::{net::IpAddr, time::Duration};

str_enum! {
    /// The state of a key's token when it is presented.
    KeyState {
        Alive = "alive",
        Revoked = "revoked",
        Expired = "expired",
        /// A newer token replaced it, and its grace period is over.
        RotatedAway = "rotated_away",
        /// The tenant is closed.
        Closed = "closed",
        /// The key is not valid from this address.
        WrongAddress = "wrong_address",
    }
}

/// A key to insert.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    pub name: String,
    pub scopes: KeyScopes,
    /// Empty: from any address.
    pub ranges: Vec<AddressRange>,
    /// `None`: it does not expire.
    pub lifetime: Option<TimeDelta>,
    /// `None` for one from the command line.
    pub created_by: Option<UserId>,
}

/// A stored key, without its token.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub name: String,
    pub scopes: Vec<String>,
    pub address_ranges: Option<Vec<String>>,
    pub created_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// To the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The last four characters of its newest token.
    pub last4: String,
}

/// Lists the ids of a tenant's keys, revoked ones included.
pub async fn ids(conn: &mut PgConnection, tenant: TenantId) -> Result<Vec<ApiKeyId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: ApiKeyId" from api_keys where tenant_id = $1"#,
        tenant.0
    )
    .fetch_all(conn)
    .await
}

/// Looks up a key's token and, if it may be used from this address, records the use.
///
/// Uses are recorded once a minute, so most calls write nothing.
pub async fn present(
    conn: &mut PgConnection,
    hash: &TokenHash,
    ip: Option<IpAddr>,
) -> Result<Option<(Session, KeyState)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with presented as (
            select t.token_hash, k.tenant_id, k.id, k.scopes, k.created_at,
                -- Bounds only the streams of a request, which are shorter.
                coalesce(k.expires_at, now() + interval '1 day') as expires_at, tenants.status = 'paused' as paused,
                k.last_used_at is null or k.last_used_at <= now() - interval '60 seconds' as stale,
                case
                    when k.revoked_at is not null then 'revoked'
                    when k.expires_at <= now() then 'expired'
                    when t.valid_until <= now() then 'rotated_away'
                    when tenants.status = 'closed' then 'closed'
                    when k.address_ranges is not null
                        and not coalesce($2::text::inet <<= any (k.address_ranges), false) then 'wrong_address'
                    else 'alive'
                end as state
            from api_key_tokens t
            join api_keys k on k.tenant_id = t.tenant_id and k.id = t.api_key_id
            join tenants on tenants.id = k.tenant_id
            where t.token_hash = $1
        ), free as (
            select k.tenant_id, k.id from api_keys k join presented p on p.tenant_id = k.tenant_id and p.id = k.id
            where p.state = 'alive' and p.stale
            for no key update of k skip locked
        ), noted as (
            update api_keys k set last_used_at = now() from free where k.tenant_id = free.tenant_id and k.id = free.id
        )
        select token_hash, tenant_id as "tenant_id: TenantId", id, scopes, created_at, expires_at as "expires_at!",
            paused as "paused!", state as "state!: KeyState"
        from presented
        "#,
        hash.as_bytes(),
        ip.map(|ip| ip.to_canonical().to_string()),
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row.filter(|row| hash.matches(&row.token_hash)) else {
        return Ok(None);
    };
    let session = Session {
        id: SessionId(row.id),
        tenant: row.tenant_id,
        user: UserId(row.id),
        caller: Caller::ApiKey(known_scopes(&row.scopes)?),
        auth_method: AuthMethod::ApiKey,
        fresh: false,
        paused: row.paused,
        must_enrol: false,
        created_at: row.created_at,
        expires_at: row.expires_at,
        idle_expires_at: row.expires_at,
        client_request_id: None,
    };
    Ok(Some((session, row.state)))
}

/// Finds the sessions of keys for which [`present`] would write nothing and answer that they are alive, by the positions
/// of `presented`. All others need [`present`].
pub async fn find_in_use(
    conn: &mut PgConnection,
    presented: &[(TokenHash, Option<IpAddr>)],
) -> Result<Vec<Option<Session>>, sqlx::Error> {
    let hashes: Vec<Vec<u8>> = presented.iter().map(|p| p.0.as_bytes().to_vec()).collect();
    let ips: Vec<Option<String>> = presented
        .iter()
        .map(|p| p.1.map(|ip| ip.to_canonical().to_string()))
        .collect();
    let rows = sqlx::query!(
        r#"
        select asked.place as "place!", t.token_hash, k.tenant_id as "tenant_id: TenantId", k.id, k.scopes, k.created_at,
            coalesce(k.expires_at, now() + interval '1 day') as "expires_at!", tenants.status = 'paused' as "paused!"
        from unnest($1::bytea[], $2::text[]) with ordinality as asked (token_hash, ip, place)
        join api_key_tokens t on t.token_hash = asked.token_hash
        join api_keys k on k.tenant_id = t.tenant_id and k.id = t.api_key_id
        join tenants on tenants.id = k.tenant_id
        where k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
            and (t.valid_until is null or t.valid_until > now()) and tenants.status <> 'closed'
            and (k.address_ranges is null or asked.ip::inet <<= any (k.address_ranges))
            and k.last_used_at > now() - interval '60 seconds'
        "#,
        &hashes,
        &ips as &[Option<String>],
    )
    .fetch_all(conn)
    .await?;
    let mut sessions = vec![None; presented.len()];
    for row in rows {
        // Postgres counts from 1.
        let place =
            usize::try_from(row.place - 1).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        if !presented[place].0.matches(&row.token_hash) {
            continue;
        }
        sessions[place] = Some(Session {
            id: SessionId(row.id),
            tenant: row.tenant_id,
            user: UserId(row.id),
            caller: Caller::ApiKey(known_scopes(&row.scopes)?),
            auth_method: AuthMethod::ApiKey,
            fresh: false,
            paused: row.paused,
            must_enrol: false,
            created_at: row.created_at,
            expires_at: row.expires_at,
            idle_expires_at: row.expires_at,
            client_request_id: None,
        });
    }
    Ok(sessions)
}

/// Whether the key could still be used now. Does not count as a use.
pub async fn is_alive(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: ApiKeyId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from api_keys k join tenants on tenants.id = k.tenant_id
            where k.tenant_id = $1 and k.id = $2 and k.revoked_at is null
                and (k.expires_at is null or k.expires_at > now()) and tenants.status <> 'closed'
        ) as "alive!"
        "#,
        tenant.0,
        key.0,
    )
    .fetch_one(conn)
    .await
}

/// Inserts a key, without a token, unless the tenant has `most` keys that are not revoked. The caller holds the
/// tenant's row, or two concurrent calls would each count without the other.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    new: &NewApiKey,
    most: i64,
) -> Result<Option<ApiKeyId>, sqlx::Error> {
    let ranges: Vec<String> = new.ranges.iter().map(ToString::to_string).collect();
    sqlx::query_scalar!(
        r#"
        insert into api_keys (tenant_id, id, name, scopes, address_ranges, created_by, expires_at)
        select $1, $2, $3, $4, nullif($5::text[], '{}')::cidr[], $6, now() + make_interval(secs => $7::float8)
        where (select count(*) from api_keys where tenant_id = $1 and revoked_at is null) < $8
        returning id as "id: ApiKeyId"
        "#,
        tenant.0,
        ApiKeyId::new().0,
        new.name,
        &new.scopes.words(),
        &ranges,
        new.created_by.map(|user| user.0),
        new.lifetime.map(|lifetime| lifetime.as_seconds_f64()),
        most,
    )
    .fetch_optional(conn)
    .await
}

/// Locks the key against other rotations and revocations until the transaction ends. False if the tenant has no such
/// key, or it is revoked or expired.
pub async fn lock_live(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: ApiKeyId,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query_scalar!(
        "select id from api_keys
         where tenant_id = $1 and id = $2 and revoked_at is null and (expires_at is null or expires_at > now())
         for update",
        tenant.0,
        key.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// Inserts the key's newest token.
///
/// # Errors
/// When the database refuses, for example because the key has a newest token.
pub async fn insert_token(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: ApiKeyId,
    hash: &TokenHash,
    last4: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into api_key_tokens (token_hash, tenant_id, api_key_id, last4) values ($1, $2, $3, $4)",
        hash.as_bytes(),
        tenant.0,
        key.0,
        last4,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets the key's tokens end after `grace`, or earlier if they were to. The caller holds [`lock_live`].
pub async fn supersede_tokens(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: ApiKeyId,
    grace: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update api_key_tokens
         set valid_until = least(valid_until, now() + make_interval(secs => $3::float8))
         where tenant_id = $1 and api_key_id = $2",
        tenant.0,
        key.0,
        grace.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Revokes a key. False if the tenant has no such key that is not revoked.
pub async fn revoke(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: ApiKeyId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update api_keys set revoked_at = now() where tenant_id = $1 and id = $2 and revoked_at is null",
        tenant.0,
        key.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Finds a key of the tenant, in any state.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: ApiKeyId,
) -> Result<Option<ApiKey>, sqlx::Error> {
    sqlx::query_as!(
        ApiKey,
        r#"
        select k.id as "id: ApiKeyId", k.name, k.scopes, k.address_ranges::text[] as "address_ranges?: Vec<String>",
            k.created_by as "created_by: UserId", k.created_at, k.expires_at, k.revoked_at, k.last_used_at, t.last4
        from api_keys k
        join api_key_tokens t on t.tenant_id = k.tenant_id and t.api_key_id = k.id and t.valid_until is null
        where k.tenant_id = $1 and k.id = $2
        "#,
        tenant.0,
        key.0,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the user who created a key; none if it was created from the command line.
pub async fn creator(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: ApiKeyId,
) -> Result<Option<UserId>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select created_by as "created_by: UserId" from api_keys where tenant_id = $1 and id = $2"#,
        tenant.0,
        key.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// Marks that the key reads the audit log. False if it was marked within the last hour.
pub async fn mark_audit_read(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: ApiKeyId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update api_keys set audit_read_at = now()
         where tenant_id = $1 and id = $2 and (audit_read_at is null or audit_read_at <= now() - interval '1 hour')",
        tenant.0,
        key.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lists the tenant's keys that are not revoked, newest first; there are at most
/// [`crate::domain::api_key::MAX_KEYS`].
pub async fn list(conn: &mut PgConnection, tenant: TenantId) -> Result<Vec<ApiKey>, sqlx::Error> {
    sqlx::query_as!(
        ApiKey,
        r#"
        select k.id as "id: ApiKeyId", k.name, k.scopes, k.address_ranges::text[] as "address_ranges?: Vec<String>",
            k.created_by as "created_by: UserId", k.created_at, k.expires_at, k.revoked_at, k.last_used_at, t.last4
        from api_keys k
        join api_key_tokens t on t.tenant_id = k.tenant_id and t.api_key_id = k.id and t.valid_until is null
        where k.tenant_id = $1 and k.revoked_at is null
        order by k.created_at desc, k.id desc
        "#,
        tenant.0,
    )
    .fetch_all(conn)
    .await
}

fn known_scopes(words: &[String]) -> Result<KeyScopes, sqlx::Error> {
    KeyScopes::parse(words)
        .ok_or_else(|| sqlx::Error::Decode("unknown value in api_keys.scopes".into()))
}
