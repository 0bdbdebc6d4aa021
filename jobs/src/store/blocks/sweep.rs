//! Expiry of blocks that ended undecided.

use crate::domain::{BlockId, UserId};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// Whether [`expire`] may find something.
pub async fn any_past<'c>(executor: impl PgExecutor<'c>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from blocks b
               join tenants t on t.id = b.tenant_id and t.status <> 'closed'
               where b.status in ('proposed', 'conflicted') and b.end_at <= now()) as "any!""#
    )
    .fetch_one(executor)
    .await
}

/// A block that ended undecided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    pub tenant: TenantId,
    pub user: UserId,
    pub id: BlockId,
    pub title: String,
}

/// Expires a user's blocks that ended undecided, so that they no longer block their item. The caller holds
/// [`super::lock`].
pub async fn expire_own(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Past>, sqlx::Error> {
    sqlx::query_as!(
        Past,
        r#"
        update blocks block set status = 'expired', version = version + 1
        where tenant_id = $1 and user_id = $2 and status in ('proposed', 'conflicted') and end_at <= $3
        returning block.tenant_id as "tenant: TenantId", block.user_id as "user: UserId", block.id as "id: BlockId",
            block.title
        "#,
        tenant.0,
        user.0,
        now,
    )
    .fetch_all(conn)
    .await
}

/// Expires up to `limit` blocks that ended undecided, oldest first. Locked ones are skipped, and those of closed tenants,
/// which may be being erased.
pub async fn expire(conn: &mut PgConnection, limit: i64) -> Result<Vec<Past>, sqlx::Error> {
    sqlx::query_as!(
        Past,
        r#"
        update blocks block set status = 'expired', version = version + 1
        from (
            select b.tenant_id, b.id from blocks b
            join tenants t on t.id = b.tenant_id and t.status <> 'closed'
            where b.status in ('proposed', 'conflicted') and b.end_at <= now()
            order by b.end_at
            limit $1
            for update of b skip locked
        ) as past
        where block.tenant_id = past.tenant_id and block.id = past.id
        returning block.tenant_id as "tenant: TenantId", block.user_id as "user: UserId", block.id as "id: BlockId",
            block.title
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}
