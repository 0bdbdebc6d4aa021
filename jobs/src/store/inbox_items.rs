//! `inbox_items`: what needs a user's attention. A deferred item whose time has come is read as open, by the database's
//! clock; its row is not changed.

use crate::domain::{
    EffectId, InboxItemId, MessageId, TaskId, UserId,
    inbox::{ItemSource, ItemState, NewItem},
    judgement::Priority,
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A stored item.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredItem {
    pub id: InboxItemId,
    pub owner: Option<UserId>,
    pub source: ItemSource,
    pub title: String,
    pub rationale: String,
    pub priority: Priority,
    pub state: ItemState,
    /// Set exactly if it is deferred.
    pub defer_until: Option<DateTime<Utc>>,
    /// Set exactly if it became a task.
    pub task: Option<TaskId>,
    pub message: Option<MessageId>,
    pub job: Option<JobId>,
    /// Incremented by every change.
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Inserts an item. `None` if its source has added it before, in whatever state it is now.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    new: &NewItem,
) -> Result<Option<InboxItemId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into inbox_items (
            tenant_id, id, owner_id, source, dedupe_key, title, rationale, priority, message_id, job_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        on conflict (tenant_id, owner_id, source, dedupe_key) do nothing
        returning id as "id: InboxItemId"
        "#,
        tenant.0,
        InboxItemId::new().0,
        new.owner.map(|user| user.0),
        new.source.as_str(),
        new.dedupe_key,
        new.title.as_str(),
        new.rationale,
        new.priority.as_str(),
        new.message.map(|message| message.0),
        new.job.map(|job| job.0),
    )
    .fetch_optional(conn)
    .await
}

/// Takes its name from the owner's item that its source has added under it, so that the source can add another one. Returns that
/// item.
pub async fn retire(
    conn: &mut PgConnection,
    (tenant, owner): (TenantId, UserId),
    source: ItemSource,
    dedupe_key: &str,
) -> Result<Option<InboxItemId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update inbox_items set dedupe_key = dedupe_key || ':' || id
           where tenant_id = $1 and owner_id = $2 and source = $3 and dedupe_key = $4
           returning id as "id: InboxItemId""#,
        tenant.0,
        owner.0,
        source.as_str(),
        dedupe_key,
    )
    .fetch_optional(conn)
    .await
}

/// Finds an item that this user may see; without a user, any of the tenant's.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: Option<UserId>,
    id: InboxItemId,
) -> Result<Option<StoredItem>, sqlx::Error> {
    sqlx::query_as!(
        StoredItem,
        r#"
        select id as "id: InboxItemId", owner_id as "owner: UserId", source as "source: ItemSource", title, rationale,
            priority as "priority: Priority",
            case when state = 'deferred' and defer_until <= now() then 'open' else state end as "state!: ItemState",
            case when defer_until > now() then defer_until end as defer_until,
            task_id as "task: TaskId", message_id as "message: MessageId", job_id as "job: JobId", version, created_at,
            updated_at
        from inbox_items
        where tenant_id = $1 and id = $3 and ($2::uuid is null or owner_id is null or owner_id = $2)
        "#,
        tenant.0,
        user.map(|user| user.0),
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the message's item that this user may see; without a user, any of the tenant's.
pub async fn of_message(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: Option<UserId>,
    message: MessageId,
) -> Result<Option<InboxItemId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id as "id: InboxItemId" from inbox_items
        where tenant_id = $1 and message_id = $3 and ($2::uuid is null or owner_id is null or owner_id = $2)
        order by id
        limit 1
        "#,
        tenant.0,
        user.map(|user| user.0),
        message.0,
    )
    .fetch_optional(conn)
    .await
}

/// Lists the items of the email that this effect answers, and of its copies, that wait for the user whose account it left from.
pub async fn answered_by(
    conn: &mut PgConnection,
    tenant: TenantId,
    effect: EffectId,
) -> Result<Vec<InboxItemId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select distinct i.id as "id: InboxItemId"
        from effects e
        join connections c on c.tenant_id = e.tenant_id and c.id = e.connection_id
        left join drafts d on d.tenant_id = e.tenant_id and d.approval_id = e.approval_id and d.mode in ('reply', 'reply_all')
        join messages m on m.tenant_id = e.tenant_id and m.id = coalesce(d.message_id, e.message_id)
        join messages copy on copy.tenant_id = m.tenant_id and copy.content_hash = m.content_hash
        join inbox_items i on i.tenant_id = e.tenant_id and i.message_id = copy.id
        where e.tenant_id = $1 and e.id = $2 and e.rfc_message_id is not null and (d.id is not null or e.type = 'reply')
            and i.source = 'email' and i.state in ('open', 'deferred') and (i.owner_id is null or i.owner_id = c.user_id)
        order by i.id
        "#,
        tenant.0,
        effect.0,
    )
    .fetch_all(conn)
    .await
}

/// Locks the row until the transaction ends.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: InboxItemId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select id from inbox_items where tenant_id = $1 and id = $2 for update",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// Lists the user's open items, most urgent first, then oldest first.
pub async fn waiting(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    limit: i64,
) -> Result<Vec<StoredItem>, sqlx::Error> {
    sqlx::query_as!(
        StoredItem,
        r#"
        select id as "id: InboxItemId", owner_id as "owner: UserId", source as "source: ItemSource", title, rationale,
            priority as "priority: Priority", 'open' as "state!: ItemState", null::timestamptz as defer_until,
            task_id as "task: TaskId", message_id as "message: MessageId", job_id as "job: JobId", version, created_at,
            updated_at
        from inbox_items
        where tenant_id = $1 and (owner_id is null or owner_id = $2)
            and (state = 'open' or (state = 'deferred' and defer_until <= now()))
        order by array_position(array['urgent', 'high', 'medium', 'low'], priority), created_at, id
        limit $3
        "#,
        tenant.0,
        user.0,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// How many items a user has.
#[derive(Clone, Copy, Debug)]
pub struct ItemCounts {
    pub waiting: i64,
    pub deferred: i64,
}

/// Counts the user's open and deferred items.
pub async fn count(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<ItemCounts, sqlx::Error> {
    sqlx::query_as!(
        ItemCounts,
        r#"
        select count(*) filter (where state = 'open' or defer_until <= now()) as "waiting!",
            count(*) filter (where state = 'deferred' and defer_until > now()) as "deferred!"
        from inbox_items
        where tenant_id = $1 and (owner_id is null or owner_id = $2) and state in ('open', 'deferred')
        "#,
        tenant.0,
        user.0,
    )
    .fetch_one(conn)
    .await
}

/// Sets the state, as the next version. The caller holds [`lock`].
pub async fn set_state(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: InboxItemId,
    state: ItemState,
    defer_until: Option<DateTime<Utc>>,
    task: Option<TaskId>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update inbox_items
         set state = $3, defer_until = $4, task_id = $5, version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        state.as_str(),
        defer_until,
        task.map(|task| task.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}
