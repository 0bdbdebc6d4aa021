//! `invites`: invitations to a tenant, with the hashes of the tokens that accept them.
//!
//! Only [`accept`] uses a token, and only once, also for concurrent callers.

use crate::domain::{
    InviteId, UserId,
    invite::{EmailAddress, INVITE_LIFETIME},
    session::Role,
    token::TokenHash,
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A pending invite, without its token.
#[derive(Clone, Debug)]
pub struct Invite {
    pub id: InviteId,
    pub email: EmailAddress,
    pub role: Role,
    /// `None` for the first owner, who is invited from the command line.
    pub invited_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// The account that an accepted invite entitles to.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub tenant: TenantId,
    pub invite: InviteId,
    pub email: EmailAddress,
    pub role: Role,
}

/// Inserts an invite.
///
/// # Errors
/// When the database refuses: a pending invite for the address must be revoked first.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    email: &EmailAddress,
    role: Role,
    invited_by: Option<UserId>,
    hash: &TokenHash,
) -> Result<Invite, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        insert into invites (tenant_id, id, email, role, token_hash, invited_by, expires_at)
        values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7::float8))
        returning id as "id: InviteId", created_at, expires_at
        "#,
        tenant.0,
        InviteId::new().0,
        email.expose(),
        role.as_str(),
        hash.as_bytes(),
        invited_by.map(|user| user.0),
        INVITE_LIFETIME.as_secs_f64(),
    )
    .fetch_one(conn)
    .await?;
    Ok(Invite {
        id: row.id,
        email: email.clone(),
        role,
        invited_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
    })
}

/// Locks the tenant's invites and password resets until the transaction ends: two concurrent invites for one address would both find
/// nothing to revoke, and who takes a user's right to make them would miss one.
pub async fn lock_tenant(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('invites ' || $1::uuid::text, 0))",
        tenant.0
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Revokes the pending invites for an address.
pub async fn revoke_for(
    conn: &mut PgConnection,
    tenant: TenantId,
    email: &EmailAddress,
) -> Result<Vec<InviteId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update invites set revoked_at = now()
        where tenant_id = $1 and lower(email) = lower($2) and accepted_at is null and revoked_at is null
        returning id as "id: InviteId"
        "#,
        tenant.0,
        email.expose(),
    )
    .fetch_all(conn)
    .await
}

/// Revokes the pending invites from the command line: there is one first owner.
pub async fn revoke_first_owner(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<InviteId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update invites set revoked_at = now()
        where tenant_id = $1 and invited_by is null and accepted_at is null and revoked_at is null
        returning id as "id: InviteId"
        "#,
        tenant.0,
    )
    .fetch_all(conn)
    .await
}

/// Revokes the pending invites by a user to one of these roles.
pub async fn revoke_by(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    roles: &[Role],
) -> Result<Vec<InviteId>, sqlx::Error> {
    let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
    sqlx::query_scalar!(
        r#"
        update invites set revoked_at = now()
        where tenant_id = $1 and invited_by = $2 and role = any ($3) and accepted_at is null and revoked_at is null
        returning id as "id: InviteId"
        "#,
        tenant.0,
        user.0,
        &roles,
    )
    .fetch_all(conn)
    .await
}

/// Revokes an invite. False if there is no such pending invite.
pub async fn revoke(
    conn: &mut PgConnection,
    tenant: TenantId,
    invite: InviteId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update invites set revoked_at = now()
         where tenant_id = $1 and id = $2 and accepted_at is null and revoked_at is null",
        tenant.0,
        invite.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the tenant ever had this invite.
pub async fn exists(
    conn: &mut PgConnection,
    tenant: TenantId,
    invite: InviteId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from invites where tenant_id = $1 and id = $2) as "exists!""#,
        tenant.0,
        invite.0,
    )
    .fetch_one(conn)
    .await
}

/// Lists the tenant's pending invites, newest first, at most `limit`.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    limit: i64,
) -> Result<Vec<Invite>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select id as "id: InviteId", email, role as "role: Role", invited_by as "invited_by: UserId", created_at, expires_at
        from invites
        where tenant_id = $1 and accepted_at is null and revoked_at is null and expires_at > now()
        order by created_at desc, id desc
        limit $2
        "#,
        tenant.0,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let invites = rows.into_iter().map(|row| Invite {
        id: row.id,
        email: EmailAddress::from_stored(row.email),
        role: row.role,
        invited_by: row.invited_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
    });
    Ok(invites.collect())
}

/// Finds the address and the tenant's name of an invite that can be accepted now. Read before a password is hashed, so
/// that guesses cost us little.
pub async fn find_open(
    conn: &mut PgConnection,
    hash: &TokenHash,
) -> Result<Option<(EmailAddress, String)>, sqlx::Error> {
    let row = sqlx::query!(
        "select email, slug from invites join tenants on tenants.id = tenant_id
         where token_hash = $1 and accepted_at is null and revoked_at is null and expires_at > now()",
        hash.as_bytes(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (EmailAddress::from_stored(row.email), row.slug)))
}

/// Accepts the invite. Of two concurrent callers the second waits for the first and then finds nothing.
pub async fn accept(
    conn: &mut PgConnection,
    hash: &TokenHash,
) -> Result<Option<Accepted>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        update invites set accepted_at = now()
        where token_hash = $1 and accepted_at is null and revoked_at is null and expires_at > now()
        returning tenant_id as "tenant: TenantId", id as "invite: InviteId", email, role as "role: Role"
        "#,
        hash.as_bytes(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Accepted {
        tenant: row.tenant,
        invite: row.invite,
        email: EmailAddress::from_stored(row.email),
        role: row.role,
    }))
}

/// Deletes the invites with a user's address, used or not.
pub async fn delete_of_user(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from invites i using users u
         where u.tenant_id = $1 and u.id = $2 and i.tenant_id = $1 and lower(i.email) = lower(u.email)",
        tenant.0,
        user.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}
