//! `follow_ups`: emails of users that wait for an answer. Times are compared with the database's clock.

use crate::domain::{
    EffectId, FollowUpId, InboxItemId, MessageId, UserId,
    follow_up::{FollowUpStatus, Reminder},
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// A follow-up as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFollowUp {
    pub id: FollowUpId,
    pub message: MessageId,
    pub title: String,
    pub reminder: Reminder,
    pub status: FollowUpStatus,
    pub sent_at: DateTime<Utc>,
    pub due_at: DateTime<Utc>,
    pub item: Option<InboxItemId>,
}

/// What the sender of an email wants to happen if nobody answers it.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub user: UserId,
    pub days: i16,
    /// Whether the days were chosen for this email.
    pub is_chosen: bool,
    pub reminder: Reminder,
    pub rfc_message_id: String,
}

/// Finds an email that we sent for a user as it was rendered; `None` if the effect sent none, or a digest.
pub async fn sent_email(
    conn: &mut PgConnection,
    tenant: TenantId,
    effect: EffectId,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select rendered from effects
         where tenant_id = $1 and id = $2 and rfc_message_id is not null and type <> 'send_digest'",
        tenant.0,
        effect.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// Finds what is wanted for an email that we sent; `None` if nothing is. A reminder is not followed up by another one.
pub async fn wanted_for_effect(
    conn: &mut PgConnection,
    tenant: TenantId,
    effect: EffectId,
) -> Result<Option<Wanted>, sqlx::Error> {
    sqlx::query_as!(
        Wanted,
        r#"
        select u.id as "user: UserId", coalesce(d.follow_up_days, u.follow_up_days) as "days!",
            d.follow_up_days is not null as "is_chosen!", u.follow_up as "reminder: Reminder",
            e.rfc_message_id as "rfc_message_id!"
        from effects e
        join connections c on c.tenant_id = e.tenant_id and c.id = e.connection_id
        join users u on u.tenant_id = e.tenant_id and u.id = c.user_id and u.status = 'active'
        left join drafts d on d.tenant_id = e.tenant_id and d.approval_id = e.approval_id
        where e.tenant_id = $1 and e.id = $2 and e.rfc_message_id is not null
            and coalesce(d.follow_up_days, u.follow_up_days) > 0 and d.mode is distinct from 'follow_up'
        "#,
        tenant.0,
        effect.0,
    )
    .fetch_optional(conn)
    .await
}

/// Inserts a follow-up, unless the email has one.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    (message, title, thread): (MessageId, &str, &[String]),
    wanted: &Wanted,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into follow_ups
             (tenant_id, id, user_id, message_id, rfc_message_id, title, reminder, sent_at, due_at, thread)
         values ($1, $2, $3, $4, $5, $8, $6, now(), now() + make_interval(days => $7), $9)
         on conflict on constraint follow_ups_email do nothing",
        tenant.0,
        FollowUpId::new().0,
        wanted.user.0,
        message.0,
        wanted.rfc_message_id,
        wanted.reminder.as_str(),
        i32::from(wanted.days),
        title,
        thread,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An email of a user's own that another program sent.
#[derive(Clone, Debug)]
pub struct OwnEmail {
    /// In angle brackets.
    pub rfc_message_id: String,
    /// The Message-ID that we gave it, if we sent it.
    pub own_id: Option<String>,
    /// The emails that it refers to.
    pub thread: Vec<String>,
    /// In lower case.
    pub sender: String,
    /// 1 to 200 characters.
    pub title: String,
    pub sent_at: DateTime<Utc>,
}

/// Inserts a follow-up of an email that another program sent, if its sender follows emails up. The clock of the sender's machine
/// may be fast: an email from the next hours was sent now. One whose time is over already was read too late to be waited for; one that we sent has a follow-up of its own, or none on purpose.
pub async fn insert_own(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: MessageId,
    email: &OwnEmail,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into follow_ups
             (tenant_id, id, user_id, message_id, rfc_message_id, title, reminder, sent_at, due_at, thread)
         select $1, $2, u.id, $3, $4, $7, u.follow_up, email.sent_at,
             email.sent_at + make_interval(days => u.follow_up_days), $8
         from users u, (select least($5::timestamptz, now()) as sent_at) email
         where u.tenant_id = $1 and u.status = 'active' and u.follow_up_days is not null
             and u.id in (
                 select id from users where tenant_id = $1 and lower(email) = $6
                 union all
                 select user_id from connections where tenant_id = $1 and lower(address) = $6 and status <> 'revoked')
             and $5 <= now() + interval '1 day' and email.sent_at + make_interval(days => u.follow_up_days) > now()
             and not exists (
                 select from effects where tenant_id = $1 and (rfc_message_id in ($4, $9) or server_message_id = $4))
         order by lower(u.email) = $6 desc, u.id
         limit 1
         on conflict on constraint follow_ups_email do nothing",
        tenant.0,
        FollowUpId::new().0,
        message.0,
        email.rfc_message_id,
        email.sent_at,
        email.sender,
        email.title,
        &email.thread,
        email.own_id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A follow-up whose time has come.
#[derive(Clone, Debug)]
pub struct Due {
    pub tenant: TenantId,
    pub id: FollowUpId,
    pub user: UserId,
    pub message: MessageId,
    pub title: String,
    pub reminder: Reminder,
    pub sent_at: DateTime<Utc>,
    /// The user's, an IANA name.
    pub timezone: String,
    /// Somebody wrote in the thread, and its email is not triaged yet.
    pub is_answered: bool,
}

/// Whether [`lock_due`] or [`lock_undrafted`] may find something.
pub async fn any_due<'c>(executor: impl PgExecutor<'c>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from follow_ups where status = 'waiting' and due_at <= now())
            or exists (
                select from finished_jobs j
                join follow_ups f on f.tenant_id = j.tenant_id and f.id = (j.args ->> 'follow_up')::uuid
                where j.kind = 'draft.generate' and j.state = 'discarded' and j.finished_at > now() - interval '1 day'
                    and f.status = 'reminded' and f.reminder = 'draft' and f.item_id is null
            ) as "any!"
        "#
    )
    .fetch_one(executor)
    .await
}

/// Locks up to `limit` follow-ups whose time has come until the transaction ends, the oldest first, and leaves those that
/// another transaction has locked. Those of tenants that are paused wait.
pub async fn lock_due(conn: &mut PgConnection, limit: i64) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"
        select f.tenant_id as "tenant: TenantId", f.id as "id: FollowUpId", f.user_id as "user: UserId",
            f.message_id as "message: MessageId", f.title, f.reminder as "reminder: Reminder", f.sent_at, u.timezone,
            exists (
                select from thread_answers a
                where a.tenant_id = f.tenant_id and a.refers_to = any (f.thread || f.rfc_message_id)
                    and a.message_id <> f.message_id
                    and (a.refers_to = f.rfc_message_id
                        or (a.sent_at > f.sent_at
                            and not exists (
                                select from own_messages own
                                where own.tenant_id = a.tenant_id and own.message_id = a.message_id
                                    and own.user_id = f.user_id)))
            ) as "is_answered!"
        from follow_ups f
        join tenants t on t.id = f.tenant_id and t.status not in ('paused', 'closed')
        join users u on u.tenant_id = f.tenant_id and u.id = f.user_id and u.status = 'active'
        where f.status = 'waiting' and f.due_at <= now()
        order by f.due_at, f.id
        limit $1
        for update of f skip locked
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Locks up to `limit` follow-ups whose reminder was to be a draft that could not be written, because its job was discarded.
pub async fn lock_undrafted(conn: &mut PgConnection, limit: i64) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"
        select f.tenant_id as "tenant: TenantId", f.id as "id: FollowUpId", f.user_id as "user: UserId",
            f.message_id as "message: MessageId", f.title, f.reminder as "reminder: Reminder", f.sent_at, u.timezone,
            false as "is_answered!"
        from finished_jobs j
        join follow_ups f on f.tenant_id = j.tenant_id and f.id = (j.args ->> 'follow_up')::uuid
        join tenants t on t.id = f.tenant_id and t.status not in ('paused', 'closed')
        join users u on u.tenant_id = f.tenant_id and u.id = f.user_id and u.status = 'active'
        where j.kind = 'draft.generate' and j.state = 'discarded' and j.finished_at > now() - interval '1 day'
            and f.status = 'reminded' and f.reminder = 'draft' and f.item_id is null
        order by f.due_at, f.id
        limit $1
        for update of f skip locked
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Sets the status of a follow-up that the caller has locked.
pub async fn set_status(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: FollowUpId,
    status: FollowUpStatus,
    item: Option<InboxItemId>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update follow_ups set status = $3, item_id = $4, updated_at = now() where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        status.as_str(),
        item.map(|item| item.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the user was reminded and nothing has ended the follow-up since; if so, nothing does until the transaction ends.
pub async fn hold_reminded(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: FollowUpId,
) -> Result<bool, sqlx::Error> {
    let held = sqlx::query_scalar!(
        r#"select true as "held!" from follow_ups where tenant_id = $1 and id = $2 and status = 'reminded' for share"#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(held.is_some())
}

/// A follow-up that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub id: FollowUpId,
    pub message: MessageId,
    pub item: Option<InboxItemId>,
    pub status: FollowUpStatus,
}

/// Ends the follow-ups of the emails that this stored one refers to: as continued if their user wrote it, else as answered. What
/// somebody else wrote later to another email of the thread answers them, too.
pub async fn end_by_message(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: MessageId,
) -> Result<Vec<Ended>, sqlx::Error> {
    sqlx::query_as!(
        Ended,
        r#"
        update follow_ups f
        set status = case when exists (
                select from own_messages own
                where own.tenant_id = $1 and own.message_id = $2 and own.user_id = f.user_id)
            then 'continued' else 'answered' end, updated_at = now()
        from thread_answers a
        where a.tenant_id = $1 and a.message_id = $2 and f.tenant_id = $1
            and (f.rfc_message_id = a.refers_to
                or (f.thread @> array[a.refers_to] and a.sent_at > f.sent_at
                    and not exists (
                        select from own_messages own
                        where own.tenant_id = $1 and own.message_id = $2 and own.user_id = f.user_id)))
            and f.message_id <> a.message_id and f.status in ('waiting', 'reminded')
        returning f.id as "id: FollowUpId", f.message_id as "message: MessageId", f.item_id as "item: InboxItemId",
            f.status as "status: FollowUpStatus"
        "#,
        tenant.0,
        message.0,
    )
    .fetch_all(conn)
    .await
}

/// Ends the follow-ups of the emails with these Message-IDs, in angle brackets, because their user wrote again.
pub async fn continue_thread(
    conn: &mut PgConnection,
    tenant: TenantId,
    message_ids: &[String],
) -> Result<Vec<Ended>, sqlx::Error> {
    sqlx::query_as!(
        Ended,
        r#"
        update follow_ups set status = 'continued', updated_at = now()
        where tenant_id = $1 and rfc_message_id = any ($2) and status in ('waiting', 'reminded')
        returning id as "id: FollowUpId", message_id as "message: MessageId", item_id as "item: InboxItemId",
            status as "status: FollowUpStatus"
        "#,
        tenant.0,
        message_ids,
    )
    .fetch_all(conn)
    .await
}

/// Adds an email that we sent for a user to the threads of the user's emails that wait and share one of these Message-IDs: an
/// answer to it answers them, too.
pub async fn extend_threads(
    conn: &mut PgConnection,
    tenant: TenantId,
    effect: EffectId,
    thread: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update follow_ups f set thread = f.thread || e.rfc_message_id, updated_at = now()
         from effects e
         join connections c on c.tenant_id = e.tenant_id and c.id = e.connection_id
         where e.tenant_id = $1 and e.id = $2 and e.rfc_message_id is not null and f.tenant_id = $1
             and f.user_id = c.user_id and f.rfc_message_id <> e.rfc_message_id and f.thread && $3
             and f.status in ('waiting', 'reminded')",
        tenant.0,
        effect.0,
        thread,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels a user's follow-up that waits or was reminded of; `None` if there is none.
pub async fn cancel(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    id: FollowUpId,
) -> Result<Option<Ended>, sqlx::Error> {
    sqlx::query_as!(
        Ended,
        r#"
        update follow_ups set status = 'cancelled', updated_at = now()
        where tenant_id = $1 and user_id = $2 and id = $3 and status in ('waiting', 'reminded')
        returning id as "id: FollowUpId", message_id as "message: MessageId", item_id as "item: InboxItemId",
            status as "status: FollowUpStatus"
        "#,
        tenant.0,
        user.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Cancels the follow-up of an email that this effect sent, if it waits or was reminded of.
pub async fn cancel_of_effect(
    conn: &mut PgConnection,
    tenant: TenantId,
    effect: EffectId,
) -> Result<Vec<Ended>, sqlx::Error> {
    sqlx::query_as!(
        Ended,
        r#"
        update follow_ups f set status = 'cancelled', updated_at = now()
        from effects e
        where e.tenant_id = $1 and e.id = $2 and f.tenant_id = $1 and f.rfc_message_id = e.rfc_message_id
            and f.status in ('waiting', 'reminded')
        returning f.id as "id: FollowUpId", f.message_id as "message: MessageId", f.item_id as "item: InboxItemId",
            f.status as "status: FollowUpStatus"
        "#,
        tenant.0,
        effect.0,
    )
    .fetch_all(conn)
    .await
}

/// Lists a user's follow-ups, newest first, starting after `before`.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    status: Option<FollowUpStatus>,
    before: Option<FollowUpId>,
    limit: i64,
) -> Result<Vec<StoredFollowUp>, sqlx::Error> {
    sqlx::query_as!(
        StoredFollowUp,
        r#"
        select id as "id: FollowUpId", message_id as "message: MessageId", title, reminder as "reminder: Reminder",
            status as "status: FollowUpStatus", sent_at, due_at, item_id as "item: InboxItemId"
        from follow_ups
        where tenant_id = $1 and user_id = $2 and ($3::text is null or status = $3) and ($4::uuid is null or id < $4)
        order by id desc
        limit $5
        "#,
        tenant.0,
        user.0,
        status.map(FollowUpStatus::as_str),
        before.map(|id| id.0),
        limit,
    )
    .fetch_all(conn)
    .await
}
