//! `connections`: users' accounts at providers. Secrets leave this module only sealed.

pub mod unsealed_urls;

use crate::domain::{
    ConnectionId, UserId,
    connection::{ConnectionStatus, Provider, Settings},
};
use crate::secrets::Sealed;
use base::TenantId;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

/// A connection to insert.
#[derive(Debug)]
pub struct NewConnection<'a> {
    pub id: ConnectionId,
    pub user: UserId,
    pub address: &'a str,
    pub display_name: Option<&'a str>,
    pub settings: &'a Settings,
    pub secret: &'a Sealed,
    pub sends_per_hour: i32,
    pub max_recipients: i32,
}

/// A stored connection, without its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredConnection {
    pub id: ConnectionId,
    pub user: UserId,
    pub address: String,
    pub display_name: Option<String>,
    pub settings: Settings,
    pub status: ConnectionStatus,
    pub last_error: Option<String>,
    pub sends_per_hour: i32,
    pub max_recipients: i32,
    /// Incremented by every change.
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: ConnectionId,
    user: UserId,
    provider: Provider,
    address: String,
    display_name: Option<String>,
    settings: Value,
    status: ConnectionStatus,
    last_error: Option<String>,
    sends_per_hour: i32,
    max_recipients: i32,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for StoredConnection {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.id,
            user: row.user,
            address: row.address,
            display_name: row.display_name,
            settings: Settings::read(row.provider, row.settings)
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            status: row.status,
            last_error: row.last_error,
            sends_per_hour: row.sends_per_hour,
            max_recipients: row.max_recipients,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Inserts a connection. False if the user has one with this address.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    new: &NewConnection<'_>,
) -> Result<bool, sqlx::Error> {
    let settings = new
        .settings
        .stored()
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let done = sqlx::query!(
        "insert into connections (
             tenant_id, id, user_id, provider, address, display_name, settings, secret, key_id, sends_per_hour, max_recipients)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (tenant_id, user_id, lower(address)) where status <> 'revoked' do nothing",
        tenant.0,
        new.id.0,
        new.user.0,
        new.settings.provider().as_str(),
        new.address,
        new.display_name,
        settings,
        &new.secret.bytes,
        new.secret.key_id,
        new.sends_per_hour,
        new.max_recipients,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ConnectionId,
) -> Result<Option<StoredConnection>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: ConnectionId", user_id as "user: UserId", provider as "provider: Provider", address,
               display_name, settings, status as "status: ConnectionStatus", last_error, sends_per_hour, max_recipients, version, created_at, updated_at
           from connections where tenant_id = $1 and id = $2"#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    row.map(StoredConnection::try_from).transpose()
}

/// Lists the user's connections, oldest first, without revoked ones.
pub async fn of_user(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Vec<StoredConnection>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: ConnectionId", user_id as "user: UserId", provider as "provider: Provider", address,
               display_name, settings, status as "status: ConnectionStatus", last_error, sends_per_hour, max_recipients, version, created_at, updated_at
           from connections where tenant_id = $1 and user_id = $2 and status <> 'revoked' order by id"#,
        tenant.0,
        user.0,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredConnection::try_from).collect()
}

/// The addresses of the user's mail accounts, oldest first, without those that were revoked.
pub async fn mail_addresses(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Vec<String>, sqlx::Error> {
    let found = of_user(conn, tenant, user).await?;
    let mail = found
        .into_iter()
        .filter(|one| one.settings.mail().is_some());
    Ok(mail.map(|one| one.address).collect())
}

/// Anybody's of the tenant with one of these addresses, which are in lower case, the oldest first, without those that were
/// revoked.
pub async fn of_addresses(
    conn: &mut PgConnection,
    tenant: TenantId,
    addresses: &[String],
) -> Result<Vec<StoredConnection>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: ConnectionId", user_id as "user: UserId", provider as "provider: Provider", address,
               display_name, settings, status as "status: ConnectionStatus", last_error, sends_per_hour, max_recipients, version, created_at, updated_at
           from connections where tenant_id = $1 and lower(address) = any ($2) and status <> 'revoked' order by id"#,
        tenant.0,
        addresses,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredConnection::try_from).collect()
}

/// Finds the sealed secret.
pub async fn sealed_secret(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ConnectionId,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select secret from connections where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Locks the connection and returns its sealed secret, so that nobody seals it anew before the caller has replaced it.
pub async fn lock_secret(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ConnectionId,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select secret from connections where tenant_id = $1 and id = $2 for update",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Replaces the secret of a connection that is still in this version and not revoked, and activates it.
pub async fn replace_secret(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ConnectionId,
    version: i32,
    secret: &Sealed,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update connections set secret = $4, key_id = $5, status = 'active', last_error = null, version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2 and version = $3 and status <> 'revoked'",
        tenant.0,
        id.0,
        version,
        &secret.bytes,
        secret.key_id,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Revokes it and deletes its secret; `code` is the reason, unless its user revoked it. False if it did not exist or
/// was revoked before.
pub async fn revoke(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ConnectionId,
    code: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update connections set secret = '', status = 'revoked', last_error = $3, version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2 and status <> 'revoked'",
        tenant.0,
        id.0,
        code,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Locks up to `limit` connections whose secret another key than `key_id` seals, and returns the sealed secrets. Those
/// that are being changed are skipped.
pub async fn lock_sealed_by_others(
    conn: &mut PgConnection,
    key_id: &str,
    after: Option<(TenantId, ConnectionId)>,
    limit: i64,
) -> Result<Vec<(TenantId, ConnectionId, Vec<u8>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select tenant_id as "tenant: TenantId", id as "id: ConnectionId", secret from connections
        where status <> 'revoked' and secret <> '' and key_id <> $1
            and ($3::uuid is null or (tenant_id, id) > ($3, $4::uuid))
        order by tenant_id, id
        limit $2
        for update skip locked
        "#,
        key_id,
        limit,
        after.map(|after| after.0.0),
        after.map(|after| after.1.0),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.tenant, row.id, row.secret))
        .collect())
}

/// Erases up to `limit` secrets that this key seals, so that their users enter them again, and returns their connections.
pub async fn erase_sealed_by(
    conn: &mut PgConnection,
    key_id: &str,
    code: &str,
    limit: i64,
) -> Result<Vec<(TenantId, ConnectionId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with lost as (
            select tenant_id, id from connections
            where status <> 'revoked' and secret <> '' and key_id = $1
            order by tenant_id, id
            limit $3
            for update
        )
        update connections c
        set status = 'reauth_required', last_error = $2, secret = '', version = version + 1, updated_at = now()
        from lost where c.tenant_id = lost.tenant_id and c.id = lost.id
        returning c.tenant_id as "tenant: TenantId", c.id as "id: ConnectionId"
        "#,
        key_id,
        code,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant, row.id)).collect())
}

/// Writes the same secret under another key. Its version stays: jobs that wait for a new secret still do.
pub async fn set_sealed(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ConnectionId,
    secret: &Sealed,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update connections set secret = $3, key_id = $4 where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        secret.bytes,
        secret.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Revokes all connections of a user and deletes their secrets; returns how many.
pub async fn revoke_all_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update connections set secret = '', status = 'revoked', last_error = 'user_removed', version = version + 1,
             updated_at = now()
         where tenant_id = $1 and user_id = $2 and status <> 'revoked'",
        tenant.0,
        user.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Records that the provider refused the secret of this version; a secret that was replaced since is left alone. True
/// if this call recorded it.
pub async fn require_reauth(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ConnectionId,
    version: i32,
    code: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update connections set status = 'reauth_required', last_error = $4, version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2 and version = $3 and status in ('active', 'degraded')",
        tenant.0,
        id.0,
        version,
        code,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records that the provider accepted the secret of this version. True if it was recorded as refused.
pub async fn restore(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ConnectionId,
    version: i32,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update connections set status = 'active', last_error = null, version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2 and version = $3 and status in ('reauth_required', 'degraded')",
        tenant.0,
        id.0,
        version,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Counts the connections of all tenants per provider and status; combinations without any are left out.
///
/// # Errors
/// When the database does not answer, or contains a text that this version does not know.
pub async fn count<'c>(
    executor: impl PgExecutor<'c>,
) -> Result<Vec<(Provider, ConnectionStatus, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select provider as "provider: Provider", status as "status: ConnectionStatus", count(*) as "count!"
           from connections group by provider, status"#
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.provider, row.status, row.count))
        .collect())
}
