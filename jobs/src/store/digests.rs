//! `digests` and `digest_entries`: the digest of each user's day, and the emails that were added to it.

use crate::domain::{
    DigestEntryId, DigestId, InboxItemId, MessageId, UserId,
    digest::{Entry, Listed},
};
use base::TenantId;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// A user whose digest is due.
#[derive(Clone, Debug)]
pub struct DueUser {
    pub tenant: TenantId,
    pub user: UserId,
    /// An IANA name.
    pub timezone: String,
    pub at: NaiveTime,
    pub by_email: bool,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// Whether [`lock_due`] may find something.
pub async fn any_due<'c>(executor: impl PgExecutor<'c>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from users where next_digest_at <= now()) as "any!""#
    )
    .fetch_one(executor)
    .await
}

/// Locks up to `limit` users whose digest is due until the transaction ends, and leaves those that another transaction has
/// locked.
pub async fn lock_due(conn: &mut PgConnection, limit: i64) -> Result<Vec<DueUser>, sqlx::Error> {
    sqlx::query_as!(
        DueUser,
        r#"
        select u.tenant_id as "tenant: TenantId", u.id as "user: UserId", u.timezone, u.digest_at as "at!",
            u.digest_by_email as by_email, now() as "now!"
        from users u
        join tenants t on t.id = u.tenant_id and t.status not in ('paused', 'closed')
        where u.next_digest_at <= now() and u.status = 'active'
        order by u.next_digest_at, u.id
        limit $1
        for no key update of u skip locked
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Inserts the digest of a day; `None` if there is one.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    day: NaiveDate,
) -> Result<Option<DigestId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into digests (tenant_id, id, user_id, day) values ($1, $2, $3, $4)
        on conflict on constraint digests_day do nothing
        returning id as "id: DigestId"
        "#,
        tenant.0,
        DigestId::new().0,
        user.0,
        day,
    )
    .fetch_optional(conn)
    .await
}

/// Names the inbox item that shows the digest.
pub async fn set_item(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: DigestId,
    item: InboxItemId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update digests set item_id = $3 where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        item.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The item that shows a digest of the user's.
pub async fn item(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    id: DigestId,
) -> Result<Option<InboxItemId>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select item_id as "item: InboxItemId" from digests where tenant_id = $1 and user_id = $2 and id = $3"#,
        tenant.0,
        user.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// Whether the email with one of these Message-IDs, in angle brackets, is a digest that we sent.
pub async fn was_sent(
    conn: &mut PgConnection,
    tenant: TenantId,
    message_ids: &[String],
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from effects
            where tenant_id = $1 and (rfc_message_id = any ($2) or server_message_id = any ($2)) and type = 'send_digest'
        ) as "was_sent!"
        "#,
        tenant.0,
        message_ids,
    )
    .fetch_one(conn)
    .await
}

/// Sets when the user's next digest is due.
pub async fn set_next(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    next: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set next_digest_at = $3 where tenant_id = $1 and id = $2",
        tenant.0,
        user.0,
        next,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An email for the user's next digest.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    pub user: UserId,
    pub message: MessageId,
    /// 1 to 200 characters.
    pub title: &'a str,
    /// At most 300 characters.
    pub note: Option<&'a str>,
}

/// Inserts an entry; `None` if the next digest has the email already.
pub async fn insert_entry(
    conn: &mut PgConnection,
    tenant: TenantId,
    entry: &NewEntry<'_>,
) -> Result<Option<DigestEntryId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into digest_entries (tenant_id, id, user_id, message_id, title, note) values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id, user_id, message_id) where digest_id is null do nothing
        returning id as "id: DigestEntryId"
        "#,
        tenant.0,
        DigestEntryId::new().0,
        entry.user.0,
        entry.message.0,
        entry.title,
        entry.note,
    )
    .fetch_optional(conn)
    .await
}

/// Deletes an entry that no digest has yet; `false` if one has it, or it was deleted.
pub async fn delete_entry(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: DigestEntryId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from digest_entries where tenant_id = $1 and id = $2 and digest_id is null",
        tenant.0,
        id.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes the user's entries into a digest; returns them, oldest first.
pub async fn take_entries(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    digest: DigestId,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        r#"
        with taken as (
            update digest_entries set digest_id = $3
            where tenant_id = $1 and user_id = $2 and digest_id is null
            returning id, title, note)
        select title as "title!", note from taken order by id
        "#,
        tenant.0,
        user.0,
        digest.0,
    )
    .fetch_all(conn)
    .await
}

/// The approvals that this user may decide, oldest first: all of the tenant but drafts of other users.
pub async fn decisions(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    named: i64,
) -> Result<Listed, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with open as (
            select a.id, a.title from approvals a
            where a.tenant_id = $1 and a.status = 'proposed' and a.expires_at > now()
                and (a.owner_id is null or a.owner_id = $2)
                and not exists (
                    select from blocks b where b.tenant_id = $1 and b.approval_id = a.id and b.user_id <> $2))
        select count(*) as "count!",
            coalesce((select array_agg(first.title order by first.id) from (
                select id, title from open order by id limit $3) first), '{}') as "titles!"
        from open
        "#,
        tenant.0,
        user.0,
        named,
    )
    .fetch_one(conn)
    .await?;
    Ok(Listed {
        titles: row.titles,
        count: row.count,
    })
}

/// Counts the user's emails that wait for an answer.
pub async fn follow_ups(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from follow_ups where tenant_id = $1 and user_id = $2 and status = 'waiting'"#,
        tenant.0,
        user.0,
    )
    .fetch_one(conn)
    .await
}

/// Forgets the words of digests that are older than the tenant keeps emails: they name emails that are forgotten.
pub async fn forget_old(conn: &mut PgConnection, tenant: TenantId) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "with limits as (
             select now() - make_interval(days => email_retention_days) as before from tenants where id = $1),
         sent as (
             update effects set rendered = null, receipt = null from limits
             where tenant_id = $1 and type = 'send_digest' and rendered is not null and created_at < limits.before),
         old as (
             update digests set item_id = null
             from limits, digests former
             where former.tenant_id = $1 and former.item_id is not null and former.created_at < limits.before
                 and digests.tenant_id = former.tenant_id and digests.id = former.id
             returning former.item_id)
         update inbox_items i set rationale = '' from old where i.tenant_id = $1 and i.id = old.item_id",
        tenant.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// The titles of the user's open items, most urgent first, then oldest first. Digests are left out: one
/// that is still open is not something new to attend to.
pub async fn open_items(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    limit: i64,
) -> Result<Listed, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select title, count(*) over () as "count!"
        from inbox_items
        where tenant_id = $1 and (owner_id is null or owner_id = $2) and source <> 'digest'
            and (state = 'open' or (state = 'deferred' and defer_until <= now()))
        order by array_position(array['urgent', 'high', 'medium', 'low'], priority), created_at, id
        limit $3
        "#,
        tenant.0,
        user.0,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let count = rows.first().map_or(0, |row| row.count);
    Ok(Listed {
        titles: rows.into_iter().map(|row| row.title).collect(),
        count,
    })
}

/// The open items of the user's digests.
pub async fn open_digests(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Vec<InboxItemId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id as "id: InboxItemId" from inbox_items
        where tenant_id = $1 and owner_id = $2 and source = 'digest'
            and (state = 'open' or (state = 'deferred' and defer_until <= now()))
        order by id
        "#,
        tenant.0,
        user.0,
    )
    .fetch_all(conn)
    .await
}
