//! Which users' mailboxes have an email, by its content: what was read from them is in `fetched_emails`.

use crate::domain::{ConnectionId, MessageId, UserId, judgement::Priority};
use base::{JobId, TenantId};
use sqlx::PgConnection;

/// Locks who has an email until the transaction ends: a mailbox that is read while the email is judged would be missed by both
/// transactions.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    content_hash: &[u8; 32],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('readers ' || $1::uuid::text || encode($2, 'hex'), 0))",
        tenant.0,
        &content_hash[..],
    )
    .fetch_one(conn)
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
    /// Whose mailbox has the email as well.
    pub user: UserId,
    pub title: String,
    pub rationale: String,
    pub priority: Priority,
    pub message: Option<MessageId>,
    pub job: Option<JobId>,
}

/// Finds the inbox item that the triage of this email has added for a colleague of the account's user; `None` if there is none,
/// or the user sent the email.
pub async fn colleague_item(
    conn: &mut PgConnection,
    tenant: TenantId,
    connection: ConnectionId,
    (dedupe_key, sender): (&str, &str),
) -> Result<Option<ColleagueItem>, sqlx::Error> {
    sqlx::query_as!(
        ColleagueItem,
        r#"
        select c.user_id as "user: UserId", i.title, i.rationale, i.priority as "priority: Priority",
            i.message_id as "message: MessageId", i.job_id as "job: JobId"
        from connections c
        join users me on me.tenant_id = c.tenant_id and me.id = c.user_id and me.status = 'active'
        join users u on u.tenant_id = c.tenant_id and u.id <> c.user_id
        join inbox_items i on i.tenant_id = u.tenant_id and i.owner_id = u.id and i.source = 'email'
            and i.dedupe_key = $3 and i.job_id is not null
        where c.tenant_id = $1 and c.id = $2 and lower(me.email) <> $4
            and not exists (
                select from connections own
                where own.tenant_id = $1 and own.user_id = me.id and lower(own.address) = $4)
        order by i.id
        limit 1
        "#,
        tenant.0,
        connection.0,
        dedupe_key,
        sender,
    )
    .fetch_optional(conn)
    .await
}
