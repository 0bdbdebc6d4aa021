//! `users`: the users of a tenant. Password hashes leave this file only as [`Credentials`].

use crate::domain::{UserId, invite::EmailAddress, session::Role};
use base::TenantId;
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
///
/// # Errors
/// When the database does not answer.
pub async fn credentials(
    conn: &mut PgConnection,
    tenant_slug: &str,
    email: &str,
) -> Result<Option<Credentials>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select t.id as "tenant: TenantId", u.id as "user: UserId", u.role, u.password_hash,
            u.status = 'active' and t.status <> 'closed' as "open!"
        from tenants t
        join users u on u.tenant_id = t.id
        where t.slug = $1 and lower(u.email) = lower($2)
        "#,
        tenant_slug,
        email,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Credentials {
            tenant: row.tenant,
            user: row.user,
            role: Role::parse(&row.role)
                .ok_or_else(|| sqlx::Error::Decode("unknown value in role".into()))?,
            password_hash: row.password_hash,
            open: row.open,
        })
    })
    .transpose()
}

/// Finds the user with this address, in any status.
///
/// # Errors
/// When the database does not answer.
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

/// Inserts a user; `None` if the tenant has one with this address.
///
/// # Errors
/// When the database refuses.
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

/// Stores the password hash under new parameters, unless it was changed in the meantime.
///
/// # Errors
/// When the database refuses.
pub async fn rehash(
    conn: &mut PgConnection,
    credentials: &Credentials,
    password_hash: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set password_hash = $4 where tenant_id = $1 and id = $2 and password_hash = $3",
        credentials.tenant.0,
        credentials.user.0,
        credentials.password_hash,
        password_hash,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the tenant has an owner who is not deleted.
///
/// # Errors
/// When the database does not answer.
pub async fn owner_exists(conn: &mut PgConnection, tenant: TenantId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from users where tenant_id = $1 and role = 'owner' and status <> 'deleted') as "exists!""#,
        tenant.0,
    )
    .fetch_one(conn)
    .await
}

/// Filters `addresses` (in lower case) to those that belong to the tenant's users, as their login or as an email account.
///
/// # Errors
/// When the database does not answer.
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
///
/// # Errors
/// When the database does not answer.
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
///
/// # Errors
/// When the database does not answer.
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
///
/// # Errors
/// When the database does not answer.
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
