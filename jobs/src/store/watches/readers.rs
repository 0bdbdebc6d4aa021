//! Which users' mailboxes have an email, by its content: what was read from them is in `fetched_emails`.

use crate::domain::{ConnectionId, MessageId, UserId, judgement::Priority};
use base::{JobId, TenantId};
use sqlx::PgConnection;

/// Locks who has these emails until the transaction ends, in one order for all callers: a mailbox that is read while an email is
/// judged would be missed by both transactions.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    content_hashes: &[&[u8]],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"select pg_advisory_xact_lock(name)::text as "locked" from (
               select distinct hashtextextended('readers ' || $1::uuid::text || encode(content_hash, 'hex'), 0) as name
               from unnest($2::bytea[]) as given (content_hash)
               order by name
           ) names"#,
        tenant.0,
        content_hashes as &[&[u8]],
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Lists the users whose mailboxes have an email, but for this one and its sender, in lower case, who has it among the sent ones.
pub async fn others(
    conn: &mut PgConnection,
    tenant: TenantId,
    content_hash: &[u8; 32],
    (user, sender): (UserId, &str),
) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select distinct u.id as "user: UserId"
        from fetched_emails f
        join connections c on c.tenant_id = f.tenant_id and c.id = f.connection_id
        join users u on u.tenant_id = c.tenant_id and u.id = c.user_id and u.status = 'active'
        where f.tenant_id = $1 and f.content_hash = $2 and u.id <> $3 and lower(u.email) <> $4
            and not exists (
                select from connections own
                where own.tenant_id = $1 and own.user_id = u.id and lower(own.address) = $4)
        order by u.id
        "#,
        tenant.0,
        &content_hash[..],
        user.0,
        sender,
    )
    .fetch_all(conn)
    .await
}

/// A colleague's inbox item of an email that a user has too.
#[derive(Clone, Debug)]
pub struct ColleagueItem {
    pub dedupe_key: String,
    /// Whose mailbox has the email as well.
    pub user: UserId,
    pub title: String,
    pub rationale: String,
    pub priority: Priority,
    pub message: Option<MessageId>,
    pub job: Option<JobId>,
}

/// Finds the inbox items that the triage of emails has added for colleagues of the account's user, one of each email, but for
/// those that the user sent. Emails are named by the dedupe key of their items and their senders.
pub async fn colleague_items(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    (dedupe_keys, senders): (&[String], &[String]),
) -> Result<Vec<ColleagueItem>, sqlx::Error> {
    sqlx::query_as!(
        ColleagueItem,
        r#"
        select distinct on (i.dedupe_key) i.dedupe_key as "dedupe_key!", c.user_id as "user: UserId", i.title, i.rationale,
            i.priority as "priority: Priority", i.message_id as "message: MessageId", i.job_id as "job: JobId"
        from connections c
        cross join unnest($3::text[], $4::text[]) as email (dedupe_key, sender)
        join users me on me.tenant_id = c.tenant_id and me.id = c.user_id and me.status = 'active'
        join users u on u.tenant_id = c.tenant_id and u.id <> c.user_id
        join inbox_items i on i.tenant_id = u.tenant_id and i.owner_id = u.id and i.source = 'email'
            and i.dedupe_key = email.dedupe_key and i.job_id is not null
        where c.tenant_id = $1 and c.id = $2 and lower(me.email) <> email.sender
            and not exists (
                select from connections own
                where own.tenant_id = $1 and own.user_id = me.id and lower(own.address) = email.sender)
        order by i.dedupe_key, i.id
        "#,
        tenant.0,
        connection.0,
        dedupe_keys,
        senders,
    )
    .fetch_all(conn)
    .await
}
