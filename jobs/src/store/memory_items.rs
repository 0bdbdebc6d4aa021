//! `memory_items`: what the assistant remembers for a user. Writers of a level hold [`lock`]; [`for_prompt`] reads
//! without it.

mod sweep;

pub use sweep::{Swept, any_due, expire, expire_level, purge};

use crate::domain::{
    MemoryId, UserId,
    memory::{Level, MemoryScope, NewMemory, Provenance, ScopeKind, Status},
};
use base::TenantId;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

/// The most items of each level in a prompt, and the most characters of them in total.
const PER_LEVEL: i64 = 5;
const PROMPT_CHARACTERS: i64 = 6_000;

/// A stored item.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMemory {
    pub id: MemoryId,
    pub level: Level,
    pub scope: ScopeKind,
    /// Empty for the global scope.
    pub scope_value: String,
    pub key: String,
    pub value: Value,
    pub provenance: Provenance,
    pub confidence: f32,
    pub pinned: bool,
    pub status: Status,
    pub version: i32,
    pub use_count: i64,
    pub last_used_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// An item in a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalled {
    /// The id by which drafts cite it.
    pub id: MemoryId,
    pub level: Level,
    pub scope: ScopeKind,
    pub key: String,
    pub provenance: Provenance,
    /// The stored value; [`crate::domain::memory::for_prompt_at`] decides how much of it a prompt may contain.
    pub value: Value,
}

/// Filters for [`list`].
#[derive(Clone, Debug, Default)]
pub struct MemoryFilter {
    pub level: Option<Level>,
    pub scope: Option<ScopeKind>,
    pub scope_value: Option<String>,
    pub pinned: Option<bool>,
}

/// Locks this level of the user's memory against other writers until the transaction ends.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    level: Level,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('memory ' || $1::uuid::text || $2::uuid::text || $3::text, 0))",
        tenant.0,
        user.0,
        level.as_str(),
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Finds an active or superseded item. Expired and deleted ones are not returned.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    id: MemoryId,
) -> Result<Option<StoredMemory>, sqlx::Error> {
    sqlx::query_as!(
        StoredMemory,
        r#"
        select id as "id: MemoryId", level as "level: Level", scope as "scope: ScopeKind", scope_value, key, value,
            provenance as "provenance: Provenance", confidence, pinned, status as "status: Status", version, use_count, last_used_at, expires_at, created_at
        from memory_items
        where tenant_id = $1 and user_id = $2 and id = $3 and status in ('active', 'superseded', 'evicted')
            and (expires_at is null or expires_at > clock_timestamp())
        "#,
        tenant.0,
        user.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the active item under this key.
pub async fn live(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    level: Level,
    scope: &MemoryScope,
    key: &str,
) -> Result<Option<StoredMemory>, sqlx::Error> {
    sqlx::query_as!(
        StoredMemory,
        r#"
        select id as "id: MemoryId", level as "level: Level", scope as "scope: ScopeKind", scope_value, key, value,
            provenance as "provenance: Provenance", confidence, pinned, status as "status: Status", version, use_count, last_used_at, expires_at, created_at
        from memory_items
        where tenant_id = $1 and user_id = $2 and level = $3 and scope = $4 and scope_value = $5 and key = $6
            and status = 'active' and (expires_at is null or expires_at > clock_timestamp())
        "#,
        tenant.0,
        user.0,
        level.as_str(),
        scope.kind().as_str(),
        scope.value(),
        key,
    )
    .fetch_optional(conn)
    .await
}

/// Lists active items, newest first, starting after `before`.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    filter: &MemoryFilter,
    before: Option<MemoryId>,
    limit: i64,
) -> Result<Vec<StoredMemory>, sqlx::Error> {
    sqlx::query_as!(
        StoredMemory,
        r#"
        select id as "id: MemoryId", level as "level: Level", scope as "scope: ScopeKind", scope_value, key, value,
            provenance as "provenance: Provenance", confidence, pinned, status as "status: Status", version, use_count, last_used_at, expires_at, created_at
        from memory_items
        where tenant_id = $1 and user_id = $2
            and status = 'active' and (expires_at is null or expires_at > clock_timestamp())
            and ($3::text is null or level = $3) and ($4::text is null or scope = $4)
            and ($5::text is null or scope_value = $5) and ($6::boolean is null or pinned = $6)
            and ($7::uuid is null or id < $7)
        order by id desc
        limit $8
        "#,
        tenant.0,
        user.0,
        filter.level.map(Level::as_str),
        filter.scope.map(ScopeKind::as_str),
        filter.scope_value.as_deref(),
        filter.pinned,
        before.map(|id| id.0),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Selects the items for a prompt about messages of these scopes: of each level the newest few that are global or match
/// a scope, pinned ones first, as many as fit. Counts the use of each in the same statement.
pub async fn for_prompt(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    scopes: &[MemoryScope],
) -> Result<Vec<Recalled>, sqlx::Error> {
    let kinds: Vec<String> = scopes.iter().map(|s| s.kind().to_string()).collect();
    let values: Vec<String> = scopes.iter().map(|s| s.value().to_owned()).collect();
    // Rows are locked in the order of their ids, and locked ones are skipped: two prompts for one user must not block
    // each other over a counter.
    sqlx::query_as!(
        Recalled,
        r#"
        with in_scope as (
            select id, level, scope, key, value, provenance, pinned, created_at,
                row_number() over (partition by level order by pinned desc, created_at desc, id desc) as place
            from memory_items
            where tenant_id = $1 and user_id = $2
                and status = 'active' and (expires_at is null or expires_at > clock_timestamp())
                and (scope = 'global' or (scope, scope_value) in (select * from unnest($3::text[], $4::text[])))
        ),
        fitting as (
            select id, level, scope, key, value, provenance, pinned, created_at,
                sum(length(key) + length(value::text)) over (order by pinned desc, created_at desc, id desc) as characters
            from in_scope where place <= $5
        ),
        used as (
            update memory_items item set use_count = use_count + 1, last_used_at = clock_timestamp()
            from (
                select id from memory_items
                where tenant_id = $1 and id in (select id from fitting where characters <= $6)
                order by id
                for no key update skip locked
            ) as held
            where item.tenant_id = $1 and item.id = held.id
        )
        select id as "id: MemoryId", level as "level: Level", scope as "scope: ScopeKind", key, value,
            provenance as "provenance: Provenance"
        from fitting
        where characters <= $6
        order by pinned desc, created_at desc, id desc
        "#,
        tenant.0,
        user.0,
        &kinds,
        &values,
        PER_LEVEL,
        PROMPT_CHARACTERS,
    )
    .fetch_all(conn)
    .await
}

/// Inserts an item. The caller holds [`lock`], has evicted to the cap, and has ended the former item under the key.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    item: &NewMemory,
    version: i32,
    expires_at: Option<DateTime<Utc>>,
) -> Result<StoredMemory, sqlx::Error> {
    sqlx::query_as!(
        StoredMemory,
        r#"
        insert into memory_items (
            tenant_id, id, user_id, level, scope, scope_value, key, value, provenance, confidence, pinned, version,
            expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        returning id as "id: MemoryId", level as "level: Level", scope as "scope: ScopeKind", scope_value, key, value,
            provenance as "provenance: Provenance", confidence, pinned, status as "status: Status", version, use_count, last_used_at, expires_at, created_at
        "#,
        tenant.0,
        MemoryId::new().0,
        user.0,
        item.level.as_str(),
        item.scope.kind().as_str(),
        item.scope.value(),
        item.key,
        item.value,
        item.provenance.as_str(),
        item.confidence,
        item.pinned,
        version,
        expires_at,
    )
    .fetch_one(conn)
    .await
}

/// Ends an item; a deletion erases its value at once. The caller holds [`lock`].
pub async fn end(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: MemoryId,
    status: Status,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update memory_items set status = $3, ended_at = clock_timestamp(),
             value = case $3 when 'deleted' then 'null' else value end
         where tenant_id = $1 and id = $2 and status = 'active'",
        tenant.0,
        id.0,
        status.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Pins or unpins an item, as the next version. The caller holds [`lock`].
pub async fn set_pinned(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: MemoryId,
    pinned: bool,
    expires_at: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update memory_items set pinned = $3, expires_at = $4, version = version + 1
         where tenant_id = $1 and id = $2 and status = 'active'",
        tenant.0,
        id.0,
        pinned,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts the user's items of the level. The caller holds [`lock`].
pub async fn count(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    level: Level,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from memory_items
           where tenant_id = $1 and user_id = $2 and level = $3 and status = 'active'"#,
        tenant.0,
        user.0,
        level.as_str(),
    )
    .fetch_one(conn)
    .await
}

/// Evicts the `surplus` least recently used items of the level, but no pinned ones. The caller holds [`lock`].
pub async fn evict(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    level: Level,
    surplus: i64,
) -> Result<Vec<MemoryId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update memory_items item set status = 'evicted', ended_at = clock_timestamp()
        from (
            select id from memory_items
            where tenant_id = $1 and user_id = $2 and level = $3 and status = 'active' and not pinned
            order by last_used_at, id
            limit $4
        ) as oldest
        where item.tenant_id = $1 and item.id = oldest.id
        returning item.id as "id: MemoryId"
        "#,
        tenant.0,
        user.0,
        level.as_str(),
        surplus,
    )
    .fetch_all(conn)
    .await
}
