//! `password_resets`: one-time tokens that set a user's password, as hashes. A user has one open at most.

use super::users::AccountName;
use crate::domain::{UserId, session::Role, token::TokenHash};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Inserts a reset that is valid for an hour, in place of the user's former one, and returns when it expires.
pub async fn put(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    created_by: Option<UserId>,
    hash: &TokenHash,
) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into password_resets (tenant_id, user_id, token_hash, created_by, expires_at)
         values ($1, $2, $3, $4, now() + interval '1 hour')
         on conflict (tenant_id, user_id) do update
         set token_hash = excluded.token_hash, created_by = excluded.created_by, created_at = now(),
             expires_at = excluded.expires_at
         returning expires_at",
        tenant.0,
        user.0,
        hash.as_bytes(),
        created_by.map(|user| user.0),
    )
    .fetch_one(conn)
    .await
}

/// Deletes the resets that a user made for users of one of these roles, and returns how many.
pub async fn delete_by(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    roles: &[Role],
) -> Result<u64, sqlx::Error> {
    let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
    let done = sqlx::query!(
        "delete from password_resets r using users u
         where r.tenant_id = $1 and r.created_by = $2
             and u.tenant_id = r.tenant_id and u.id = r.user_id and u.role = any ($3)",
        tenant.0,
        user.0,
        &roles,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Finds the address and the tenant's name of the user whose reset [`consume`] would use up now.
pub async fn find_open(
    conn: &mut PgConnection,
    hash: &TokenHash,
) -> Result<Option<AccountName>, sqlx::Error> {
    sqlx::query_as!(
        AccountName,
        "select u.email, tenants.slug
         from password_resets r
         join users u on u.tenant_id = r.tenant_id and u.id = r.user_id
         join tenants on tenants.id = r.tenant_id
         where r.token_hash = $1 and r.expires_at > now() and u.status = 'active' and tenants.status <> 'closed'",
        hash.as_bytes(),
    )
    .fetch_optional(conn)
    .await
}

/// Uses up an open reset and returns its user. `None` for every other token.
pub async fn consume(
    conn: &mut PgConnection,
    hash: &TokenHash,
) -> Result<Option<(TenantId, UserId)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        delete from password_resets r using users u, tenants
        where r.token_hash = $1 and r.expires_at > now()
            and u.tenant_id = r.tenant_id and u.id = r.user_id and u.status = 'active'
            and tenants.id = r.tenant_id and tenants.status <> 'closed'
        returning r.tenant_id as "tenant: TenantId", r.user_id as "user: UserId"
        "#,
        hash.as_bytes(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.tenant, row.user)))
}
