//! `second_factors` and `recovery_codes`: what users prove with beside their password. A user has one factor at most.

use crate::{domain::UserId, secrets::Sealed};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A stored second factor.
#[derive(Clone, Debug)]
pub struct StoredFactor {
    /// The app's secret, sealed.
    pub secret: Vec<u8>,
    /// `None` while it is being enrolled.
    pub confirmed_at: Option<DateTime<Utc>>,
    pub recovery_codes_left: i64,
    /// The database's time, in seconds since 1970: codes are compared with one clock.
    pub now: i64,
}

/// Finds a user's second factor.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<StoredFactor>, sqlx::Error> {
    sqlx::query_as!(
        StoredFactor,
        r#"
        select secret, confirmed_at, extract(epoch from now())::bigint as "now!",
            (select count(*) from recovery_codes c where c.tenant_id = $1 and c.user_id = $2) as "recovery_codes_left!"
        from second_factors
        where tenant_id = $1 and user_id = $2
        "#,
        tenant.0,
        user.0,
    )
    .fetch_optional(conn)
    .await
}

/// Stores the secret of a factor that is being enrolled, in place of one that was never confirmed. False if the user has a
/// confirmed one.
pub async fn put(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    secret: &Sealed,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into second_factors (tenant_id, user_id, secret, key_id) values ($1, $2, $3, $4)
         on conflict (tenant_id, user_id) do update
         set secret = excluded.secret, key_id = excluded.key_id, created_at = now()
         where second_factors.confirmed_at is null",
        tenant.0,
        user.0,
        &secret.bytes,
        secret.key_id,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Activates the factor with the hashes of its recovery codes. False if it was active before, or has another secret now.
pub async fn confirm(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    secret: &[u8],
    step: i64,
    code_hashes: &[Vec<u8>],
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with confirmed as (
             update second_factors set confirmed_at = now(), last_step = $4
             where tenant_id = $1 and user_id = $2 and secret = $3 and confirmed_at is null
             returning tenant_id, user_id
         )
         insert into recovery_codes (tenant_id, user_id, code_hash)
         select tenant_id, user_id, code_hash from confirmed, unnest($5::bytea[]) as code_hash",
        tenant.0,
        user.0,
        secret,
        step,
        code_hashes,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Uses up the code of a step and of all steps before. False if it was used before: of two requests at once one gets it.
pub async fn use_step(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    step: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update second_factors set last_step = $3
         where tenant_id = $1 and user_id = $2 and last_step < $3 and confirmed_at is not null",
        tenant.0,
        user.0,
        step,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Uses up a recovery code. False if the user has no such code any more.
pub async fn use_recovery_code(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    code_hash: &[u8],
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from recovery_codes where tenant_id = $1 and user_id = $2 and code_hash = $3",
        tenant.0,
        user.0,
        code_hash,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes a user's factor with its recovery codes. False if there is none.
pub async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from second_factors where tenant_id = $1 and user_id = $2",
        tenant.0,
        user.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Locks up to `limit` factors whose secret another key than `key_id` seals, and returns the sealed secrets.
pub async fn lock_sealed_by_others(
    conn: &mut PgConnection,
    key_id: &str,
    after: Option<(TenantId, UserId)>,
    limit: i64,
) -> Result<Vec<(TenantId, UserId, Vec<u8>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select tenant_id as "tenant: TenantId", user_id as "user: UserId", secret from second_factors
        where key_id <> $1 and ($3::uuid is null or (tenant_id, user_id) > ($3, $4::uuid))
        order by tenant_id, user_id
        limit $2
        for update
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
        .map(|row| (row.tenant, row.user, row.secret))
        .collect())
}

/// Deletes up to `limit` factors whose secret this key seals, with their recovery codes, and returns their users.
pub async fn delete_sealed_by(
    conn: &mut PgConnection,
    key_id: &str,
    limit: i64,
) -> Result<Vec<(TenantId, UserId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with lost as (
            select tenant_id, user_id from second_factors where key_id = $1
            order by tenant_id, user_id
            limit $2
            for update
        )
        delete from second_factors f using lost
        where f.tenant_id = lost.tenant_id and f.user_id = lost.user_id
        returning f.tenant_id as "tenant: TenantId", f.user_id as "user: UserId"
        "#,
        key_id,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant, row.user)).collect())
}

/// Writes the same secret under another key.
pub async fn set_sealed(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    secret: &Sealed,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update second_factors set secret = $3, key_id = $4 where tenant_id = $1 and user_id = $2",
        tenant.0,
        user.0,
        secret.bytes,
        secret.key_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}
