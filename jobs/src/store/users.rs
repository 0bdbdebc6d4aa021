//! `users`: the users of a tenant. Password hashes leave this file only as [`Credentials`].

use crate::domain::{UserId, invite::EmailAddress, session::Role, tenant::UserStatus};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::fmt;

/// What a login is checked against.
#[derive(Clone)]
pub struct Credentials {
    pub tenant: TenantId,
    pub user: UserId,
    pub role: Role,
    /// PHC string.
    pub password_hash: String,
    /// The user is not suspended and the tenant not closed.
    pub open: bool,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("tenant", &self.tenant)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Finds the user of a login.
pub async fn credentials(
    conn: &mut PgConnection,
    tenant_slug: &str,
    email: &str,
) -> Result<Option<Credentials>, sqlx::Error> {
    sqlx::query_as!(
        Credentials,
        r#"
        select t.id as "tenant: TenantId", u.id as "user: UserId", u.role as "role: Role", u.password_hash,
            u.status = 'active' and t.status <> 'closed' as "open!"
        from tenants t
        join users u on u.tenant_id = t.id
        where t.slug = $1 and lower(u.email) = lower($2)
        "#,
        tenant_slug,
        email,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the user with this address, in any status.
pub async fn find(
    conn: &mut PgConnection,
    tenant_slug: &str,
    email: &str,
) -> Result<Option<(TenantId, UserId)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select u.tenant_id as "tenant: TenantId", u.id as "user: UserId"
        from tenants t
        join users u on u.tenant_id = t.id
        where t.slug = $1 and lower(u.email) = lower($2)
        "#,
        tenant_slug,
        email,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.tenant, row.user)))
}

/// A user, as owners and admins see them.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub role: Role,
    pub status: UserStatus,
    pub created_at: DateTime<Utc>,
    /// The last use of any of their sessions that is still stored; to the minute.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Whether they have an active second factor.
    pub second_factor: bool,
}

/// Finds a user of the tenant who was not removed.
pub async fn get(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<User>, sqlx::Error> {
    sqlx::query_as!(
        User,
        r#"
        select id as "id: UserId", email, role as "role: Role", status as "status: UserStatus", created_at,
            (select max(last_used_at) from sessions s where s.tenant_id = $1 and s.user_id = $2) as last_seen_at,
            exists (
                select from second_factors f where f.tenant_id = $1 and f.user_id = $2 and f.confirmed_at is not null
            ) as "second_factor!"
        from users
        where tenant_id = $1 and id = $2 and status <> 'deleted'
        "#,
        tenant.0,
        user.0,
    )
    .fetch_optional(conn)
    .await
}

/// Lists the tenant's users who were not removed, in the order of their ids, after the user `after`.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<User>, sqlx::Error> {
    sqlx::query_as!(
        User,
        r#"
        select id as "id: UserId", email, role as "role: Role", status as "status: UserStatus", created_at,
            (select max(last_used_at) from sessions s where s.tenant_id = $1 and s.user_id = users.id) as last_seen_at,
            exists (
                select from second_factors f where f.tenant_id = $1 and f.user_id = users.id and f.confirmed_at is not null
            ) as "second_factor!"
        from users
        where tenant_id = $1 and status <> 'deleted' and ($2::uuid is null or id > $2)
        order by id
        limit $3
        "#,
        tenant.0,
        after.map(|user| user.0),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Writes a user's role and status.
pub async fn set_role_and_status(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    role: Role,
    status: UserStatus,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set role = $3, status = $4 where tenant_id = $1 and id = $2",
        tenant.0,
        user.0,
        role.as_str(),
        status.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes a user: the row stays for what refers to it, without the address and the password.
pub async fn remove(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set status = 'deleted', email = id || '@removed.invalid', password_hash = ''
         where tenant_id = $1 and id = $2",
        tenant.0,
        user.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the tenant had this user, who was removed.
pub async fn was_removed(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from users where tenant_id = $1 and id = $2 and status = 'deleted') as "removed!""#,
        tenant.0,
        user.0,
    )
    .fetch_one(conn)
    .await
}

/// Finds the password hash of an active user, a PHC string.
pub async fn password_hash(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select password_hash from users where tenant_id = $1 and id = $2 and status = 'active'",
        tenant.0,
        user.0,
    )
    .fetch_optional(conn)
    .await
}

/// What a user names an account by.
#[derive(Clone, Debug)]
pub struct AccountName {
    pub email: String,
    /// The tenant's short name.
    pub slug: String,
}

/// Finds a user's address and their tenant's short name.
///
/// # Errors
/// When the database does not answer, or has no such user.
pub async fn account_name(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<AccountName, sqlx::Error> {
    sqlx::query_as!(
        AccountName,
        "select email, slug from users join tenants on tenants.id = tenant_id
         where tenant_id = $1 and users.id = $2",
        tenant.0,
        user.0,
    )
    .fetch_one(conn)
    .await
}

/// Stores the hash of a new password.
pub async fn set_password(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    password_hash: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set password_hash = $3 where tenant_id = $1 and id = $2",
        tenant.0,
        user.0,
        password_hash,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Replaces `verified`, the hash that the user's password was compared with. False if it is no longer theirs.
pub async fn replace_password(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    verified: &str,
    password_hash: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update users set password_hash = $4 where tenant_id = $1 and id = $2 and password_hash = $3",
        tenant.0,
        user.0,
        verified,
        password_hash,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the tenant has an owner who can log in.
pub async fn active_owner_exists(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from users where tenant_id = $1 and role = 'owner' and status = 'active') as "exists!""#,
        tenant.0,
    )
    .fetch_one(conn)
    .await
}

/// Inserts a user; `None` if the tenant has one with this address.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    email: &EmailAddress,
    role: Role,
    password_hash: &str,
) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into users (tenant_id, id, email, role, password_hash) values ($1, $2, $3, $4, $5)
        on conflict (tenant_id, lower(email)) do nothing
        returning id as "id: UserId"
        "#,
        tenant.0,
        UserId::new().0,
        email.expose(),
        role.as_str(),
        password_hash,
    )
    .fetch_optional(conn)
    .await
}

/// Locks the user's row until the transaction ends, so that concurrent logins count each other's session.
///
/// # Errors
/// When the database does not answer, or the lock timeout passes.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select id from users where tenant_id = $1 and id = $2 for no key update",
        tenant.0,
        user.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// Whether the tenant has an owner who is not deleted.
pub async fn owner_exists(conn: &mut PgConnection, tenant: TenantId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from users where tenant_id = $1 and role = 'owner' and status <> 'deleted') as "exists!""#,
        tenant.0,
    )
    .fetch_one(conn)
    .await
}

/// Filters `addresses` (in lower case) to those that belong to the tenant's users, as their login or as an email account.
pub async fn own_addresses(
    conn: &mut PgConnection,
    tenant: TenantId,
    addresses: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select lower(email) as "address!" from users
        where tenant_id = $1 and lower(email) = any ($2)
        union
        select lower(address) from connections
        where tenant_id = $1 and lower(address) = any ($2) and status <> 'revoked'
        order by 1
        "#,
        tenant.0,
        addresses,
    )
    .fetch_all(conn)
    .await
}

/// Whether a user of the tenant has an address in this domain (in lower case).
pub async fn is_own_domain(
    conn: &mut PgConnection,
    tenant: TenantId,
    domain: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from users where tenant_id = $1 and split_part(lower(email), '@', 2) = $2
        ) as "exists!"
        "#,
        tenant.0,
        domain,
    )
    .fetch_one(conn)
    .await
}

/// The user that a message belongs to, with their time zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Correspondent {
    pub user: UserId,
    pub email: String,
    /// An IANA name.
    pub timezone: String,
}

/// Finds the active user with this id.
pub async fn correspondent(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<Correspondent>, sqlx::Error> {
    sqlx::query_as!(
        Correspondent,
        r#"select id as "user: UserId", email, timezone from users
           where tenant_id = $1 and id = $2 and status = 'active'"#,
        tenant.0,
        user.0,
    )
    .fetch_optional(conn)
    .await
}

/// The person to whom the first of `addresses` (in lower case) belongs that belongs to anybody, by log-in or by an email
/// account.
pub async fn first_correspondent(
    conn: &mut PgConnection,
    tenant: TenantId,
    addresses: &[String],
) -> Result<Option<Correspondent>, sqlx::Error> {
    sqlx::query_as!(
        Correspondent,
        r#"
        with owned as (
            select lower(email) as address, id as user_id from users
            where tenant_id = $1 and lower(email) = any ($2)
            union
            select lower(address), user_id from connections
            where tenant_id = $1 and lower(address) = any ($2) and status <> 'revoked'
        )
        select u.id as "user: UserId", u.email, u.timezone
        from owned
        join users u on u.tenant_id = $1 and u.id = owned.user_id and u.status = 'active'
        order by array_position($2, owned.address), lower(u.email) = owned.address desc, u.id
        limit 1
        "#,
        tenant.0,
        addresses,
    )
    .fetch_optional(conn)
    .await
}
