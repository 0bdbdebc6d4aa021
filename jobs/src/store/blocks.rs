//! `blocks`: the blocks of a user's day. Writers of a user's blocks hold [`lock`], also within a larger transaction; an
//! exclusion constraint keeps accepted blocks from overlapping as well.

mod sweep;
mod visibility;

pub use sweep::{Past, any_past, expire, expire_own};
pub use visibility::books_for_another;

use crate::domain::{
    ApprovalId, BlockId, InboxItemId, UserId,
    blocks::{BlockKind, BlockSource, Span, Status},
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A block to insert.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBlock {
    pub title: String,
    pub kind: BlockKind,
    pub source: BlockSource,
    pub inbox_item: Option<InboxItemId>,
    /// The set of alternatives and the plan's name in it.
    pub plan: Option<(Uuid, String)>,
    pub span: Span,
    pub outside_hours: bool,
}

/// A stored block.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredBlock {
    pub id: BlockId,
    pub title: String,
    pub kind: BlockKind,
    pub source: BlockSource,
    pub inbox_item: Option<InboxItemId>,
    pub alternatives: Option<Uuid>,
    pub plan: Option<String>,
    pub start_at: DateTime<Utc>,
    pub end_at: DateTime<Utc>,
    pub outside_hours: bool,
    pub status: Status,
    pub version: i32,
    pub event_ref: Option<String>,
    pub event_etag: Option<String>,
    /// The approval that books it.
    pub approval: Option<ApprovalId>,
    pub created_at: DateTime<Utc>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// Filters for [`list`].
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockFilter {
    pub status: Option<Status>,
    /// Ends after this time.
    pub from: Option<DateTime<Utc>>,
    /// Starts before this time.
    pub until: Option<DateTime<Utc>>,
}

/// Locks the user's blocks against other writers until the transaction ends.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('blocks ' || $1::uuid::text || $2::uuid::text, 0))",
        tenant.0,
        user.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    id: BlockId,
) -> Result<Option<StoredBlock>, sqlx::Error> {
    sqlx::query_as!(
        StoredBlock,
        r#"
        select id as "id: BlockId", title, kind as "kind: BlockKind", source as "source: BlockSource",
            inbox_item_id as "inbox_item: InboxItemId", alternatives_id as alternatives, plan, start_at, end_at,
            outside_hours, status as "status: Status", version, event_ref, event_etag,
            approval_id as "approval: ApprovalId", created_at, decided_at
        from blocks
        where tenant_id = $1 and user_id = $2 and id = $3
        "#,
        tenant.0,
        user.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the block that this approval books.
pub async fn of_approval(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
) -> Result<Option<(UserId, StoredBlock)>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select user_id as "user: UserId", id as "id: BlockId" from blocks
           where tenant_id = $1 and approval_id = $2"#,
        tenant.0,
        approval.0,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let block = find(conn, tenant, found.user, found.id).await?;
    Ok(block.map(|block| (found.user, block)))
}

/// Locks a block's row until the transaction ends: [`expire`] does not wait for [`lock`].
pub async fn hold(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: BlockId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select id from blocks where tenant_id = $1 and id = $2 for no key update",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// Lists the user's blocks, newest first, starting after `before`.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    filter: BlockFilter,
    before: Option<BlockId>,
    limit: i64,
) -> Result<Vec<StoredBlock>, sqlx::Error> {
    sqlx::query_as!(
        StoredBlock,
        r#"
        select id as "id: BlockId", title, kind as "kind: BlockKind", source as "source: BlockSource",
            inbox_item_id as "inbox_item: InboxItemId", alternatives_id as alternatives, plan, start_at, end_at,
            outside_hours, status as "status: Status", version, event_ref, event_etag,
            approval_id as "approval: ApprovalId", created_at, decided_at
        from blocks
        where tenant_id = $1 and user_id = $2
            and ($3::text is null or status = $3)
            and ($4::timestamptz is null or end_at > $4) and ($5::timestamptz is null or start_at < $5)
            and ($6::uuid is null or id < $6)
        order by id desc
        limit $7
        "#,
        tenant.0,
        user.0,
        filter.status.map(Status::as_str),
        filter.from,
        filter.until,
        before.map(|id| id.0),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Finds an open block for the same purpose: for the inbox item if there is one, else with this title and, if a time
/// was requested, at this time. A block that is over does not count.
pub async fn same(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    (title, inbox_item): (&str, Option<InboxItemId>),
    plan: Option<&(Uuid, String)>,
    span: Option<Span>,
    now: DateTime<Utc>,
) -> Result<Option<BlockId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id as "id: BlockId" from blocks
        where tenant_id = $1 and user_id = $2
            and status in ('proposed', 'conflicted', 'accepted', 'booked') and end_at > $9
            and alternatives_id is not distinct from $5 and plan is not distinct from $6
            and inbox_item_id is not distinct from $4
            and ($4 is not null or (
                title = $3 and ($7::timestamptz is null or (start_at = $7 and end_at = $8::timestamptz))))
        order by id
        limit 1
        "#,
        tenant.0,
        user.0,
        title,
        inbox_item.map(|item| item.0),
        plan.map(|(set, _)| *set),
        plan.map(|(_, name)| name.as_str()),
        span.map(Span::start),
        span.map(Span::end),
        now,
    )
    .fetch_optional(conn)
    .await
}

/// Lists the occupied time after `now`: accepted blocks, and proposed ones outside of alternatives.
pub async fn taken(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Vec<Span>, sqlx::Error> {
    let rows = sqlx::query!(
        "select start_at, end_at from blocks
         where tenant_id = $1 and user_id = $2 and end_at > $3
             and (status in ('accepted', 'booked') or (status = 'proposed' and alternatives_id is null))
         order by start_at, id",
        tenant.0,
        user.0,
        now,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Span::new(row.start_at, row.end_at).map_err(|no| sqlx::Error::Decode(no.into())))
        .collect()
}

/// Inserts a proposed block. The caller holds [`lock`].
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    block: &NewBlock,
) -> Result<BlockId, sqlx::Error> {
    let id = BlockId::new();
    sqlx::query!(
        "insert into blocks (
             tenant_id, id, user_id, title, kind, source, inbox_item_id, alternatives_id, plan, start_at, end_at,
             outside_hours)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tenant.0,
        id.0,
        user.0,
        block.title,
        block.kind.as_str(),
        block.source.as_str(),
        block.inbox_item.map(|item| item.0),
        block.plan.as_ref().map(|(set, _)| *set),
        block.plan.as_ref().map(|(_, name)| name.as_str()),
        block.span.start(),
        block.span.end(),
        block.outside_hours,
    )
    .execute(conn)
    .await?;
    Ok(id)
}

/// Whether an accepted block overlaps this time. The caller holds [`lock`].
pub async fn is_taken(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    span: Span,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from blocks
               where tenant_id = $1 and user_id = $2 and status in ('accepted', 'booked')
                   and tstzrange(start_at, end_at) && tstzrange($3, $4)) as "taken!""#,
        tenant.0,
        user.0,
        span.start(),
        span.end(),
    )
    .fetch_one(conn)
    .await
}

/// Sets a block's status, as the next version. The caller holds [`lock`].
///
/// # Errors
/// When the database refuses, for example because two accepted blocks would overlap.
pub async fn set_status(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: BlockId,
    status: Status,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update blocks set status = $3, version = version + 1, decided_at = now()
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        status.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes a booked block's calendar event and its ETag. The caller holds [`lock`].
pub async fn set_booked(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: BlockId,
    event_ref: &str,
    event_etag: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update blocks set status = 'booked', version = version + 1, event_ref = $3, event_etag = $4
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        event_ref,
        event_etag,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets the approval that books a block. The caller holds [`lock`].
pub async fn set_approval(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: BlockId,
    approval: ApprovalId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update blocks set approval_id = $3 where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        approval.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Changes a block's content or time, and proposes it again as the next version. The caller holds [`lock`].
pub async fn set_content(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: BlockId,
    (title, kind): (&str, BlockKind),
    span: Span,
    outside_hours: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update blocks set status = 'proposed', version = version + 1, title = $3, kind = $4, start_at = $5,
             end_at = $6, outside_hours = $7, decided_at = null
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        title,
        kind.as_str(),
        span.start(),
        span.end(),
        outside_hours,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Supersedes the proposed blocks in the other plans of a set. The caller holds [`lock`].
pub async fn supersede(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    alternatives: Uuid,
    chosen: &str,
) -> Result<Vec<BlockId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update blocks set status = 'superseded', version = version + 1, decided_at = now()
        where tenant_id = $1 and user_id = $2 and alternatives_id = $3 and plan <> $4 and status = 'proposed'
        returning id as "id: BlockId"
        "#,
        tenant.0,
        user.0,
        alternatives,
        chosen,
    )
    .fetch_all(conn)
    .await
}
