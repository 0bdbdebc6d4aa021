//! `delegations`: who may decide another user's drafts.

use crate::domain::UserId;
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A user who may decide the drafts of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegate {
    pub user: UserId,
    pub since: DateTime<Utc>,
}

/// Whether `user` may decide what belongs to `owner`: it is theirs, they are a delegate, or its owner is suspended or
/// removed and nobody else could.
pub async fn may_decide(
    conn: &mut PgConnection,
    tenant: TenantId,
    owner: UserId,
    user: UserId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select $2::uuid = $3::uuid
            or exists (select from delegations where tenant_id = $1 and user_id = $2 and delegate_id = $3)
            or not exists (select from users where tenant_id = $1 and id = $2 and status = 'active') as "may!"
        "#,
        tenant.0,
        owner.0,
        user.0,
    )
    .fetch_one(conn)
    .await
}

/// Makes an active user of the tenant a delegate. `None` if there is no such user, false if they were one.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    owner: UserId,
    delegate: UserId,
) -> Result<Option<bool>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with delegate as (
            select id from users where tenant_id = $1 and id = $3 and status = 'active'
        ), added as (
            insert into delegations (tenant_id, user_id, delegate_id) select $1, $2, id from delegate
            on conflict do nothing
            returning delegate_id
        )
        select exists (select from delegate) as "known!", exists (select from added) as "added!"
        "#,
        tenant.0,
        owner.0,
        delegate.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(row.known.then_some(row.added))
}

/// Removes a delegate. False if they were none.
pub async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    owner: UserId,
    delegate: UserId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from delegations where tenant_id = $1 and user_id = $2 and delegate_id = $3",
        tenant.0,
        owner.0,
        delegate.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lists a user's delegates, in the order in which they became that.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    owner: UserId,
) -> Result<Vec<Delegate>, sqlx::Error> {
    sqlx::query_as!(
        Delegate,
        r#"
        select delegate_id as "user: UserId", created_at as since from delegations
        where tenant_id = $1 and user_id = $2
        order by created_at, delegate_id
        "#,
        tenant.0,
        owner.0,
    )
    .fetch_all(conn)
    .await
}
