//! Expiry and purge of memory items.

use crate::domain::{MemoryId, UserId, memory::Level};
use base::TenantId;
use sqlx::{PgConnection, PgExecutor};

/// An expired item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    pub tenant: TenantId,
    pub user: UserId,
    pub id: MemoryId,
    pub level: Level,
}

/// Whether [`expire`] or [`purge`] may find something.
pub async fn any_due<'c>(executor: impl PgExecutor<'c>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from memory_items where status = 'active' and expires_at <= now())
            or exists (select from memory_items where status <> 'active' and ended_at <= now() - interval '7 days')
            as "any!"
        "#
    )
    .fetch_one(executor)
    .await
}

/// Expires up to `limit` items, longest overdue first. Locked items are left to the next call.
pub async fn expire(conn: &mut PgConnection, limit: i64) -> Result<Vec<Swept>, sqlx::Error> {
    sqlx::query_as!(
        Swept,
        r#"
        update memory_items item set status = 'expired', ended_at = clock_timestamp()
        from (
            select tenant_id, id from memory_items
            where status = 'active' and expires_at <= now()
            order by expires_at
            limit $1
            for update skip locked
        ) as over
        where item.tenant_id = over.tenant_id and item.id = over.id
        returning item.tenant_id as "tenant: TenantId", item.user_id as "user: UserId", item.id as "id: MemoryId",
            level as "level: Level"
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Expires items of one level of a user, so that they neither count nor hold their key. The caller holds
/// [`super::lock`].
pub async fn expire_level(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    level: Level,
) -> Result<Vec<Swept>, sqlx::Error> {
    sqlx::query_as!(
        Swept,
        r#"
        update memory_items item set status = 'expired', ended_at = clock_timestamp()
        where tenant_id = $1 and user_id = $2 and level = $3 and status = 'active' and expires_at <= clock_timestamp()
        returning item.tenant_id as "tenant: TenantId", item.user_id as "user: UserId", item.id as "id: MemoryId",
            level as "level: Level"
        "#,
        tenant.0,
        user.0,
        level.as_str(),
    )
    .fetch_all(conn)
    .await
}

/// Deletes up to `limit` items that ended at least seven days ago; until then drafts can cite them.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from memory_items using (
             select tenant_id, id from memory_items
             where status <> 'active' and ended_at <= now() - interval '7 days'
             order by ended_at
             limit $1
             for update skip locked
         ) as past
         where memory_items.tenant_id = past.tenant_id and memory_items.id = past.id",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
