//! `thread_answers`: which stored emails refer to which Message-IDs; those of users and of everybody else.

use super::own_messages::NewOwnMessage;
use crate::domain::UserId;
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A copy of an email that we sent, under the Message-ID that a mail server gave it. Ids are in angle brackets.
#[derive(Clone, Debug)]
pub struct OwnCopy {
    pub own_id: String,
    pub server_id: String,
    /// In lower case.
    pub sender: String,
}

/// Inserts what these emails refer to, in one statement: an email of ours that a mail server renamed, under both its names. Those
/// that we sent are left out: they answer nobody for their user.
pub async fn insert(
    conn: &mut PgConnection,
    messages: &[NewOwnMessage<'_>],
) -> Result<(), sqlx::Error> {
    let rows: Vec<(&NewOwnMessage<'_>, &String)> = messages
        .iter()
        .flat_map(|mail| {
            let refers = mail.own_answer;
            let ids = refers.answers.iter().chain(&refers.thread);
            ids.map(move |id| (mail, id))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into thread_answers (tenant_id, refers_to, message_id, sent_at)
         select mail.tenant_id, named.id, mail.message_id, least(mail.sent_at, now())
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
             as mail (tenant_id, refers_to, message_id, written_by, rfc_message_id, own_id, sent_at)
         cross join lateral (
             select mail.refers_to
             union
             select rfc_message_id from effects
             where tenant_id = mail.tenant_id and server_message_id = mail.refers_to
         ) as named (id)
         where not exists (
             select from effects e
             join connections c on c.tenant_id = e.tenant_id and c.id = e.connection_id
             where e.tenant_id = mail.tenant_id and lower(c.address) = mail.written_by
                 and (e.rfc_message_id in (mail.rfc_message_id, mail.own_id) or e.server_message_id = mail.rfc_message_id))
         on conflict do nothing",
        &rows.iter().map(|(m, _)| m.tenant.0).collect::<Vec<_>>(),
        &rows.iter().map(|(_, id)| (*id).clone()).collect::<Vec<_>>(),
        &rows.iter().map(|(m, _)| m.message.0).collect::<Vec<_>>(),
        &rows.iter().map(|(m, _)| m.own_answer.by.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|(m, _)| m.own_answer.message_id.clone()).collect::<Vec<_>>() as &[Option<String>],
        &rows.iter().map(|(m, _)| m.own_answer.own_id.clone()).collect::<Vec<_>>() as &[Option<String>],
        &rows.iter().map(|(m, _)| m.own_answer.at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Learns the Message-ID that a mail server gave an email of ours, from a copy that its user's mailbox has: answers that were
/// stored under that name are answers to it. An email whose other name is known keeps it.
pub async fn learn_server_id(
    conn: &mut PgConnection,
    tenant: TenantId,
    copy: &OwnCopy,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with renamed as (
             update effects e set server_message_id = $3
             from connections c
             where e.tenant_id = $1 and e.rfc_message_id = $2 and e.server_message_id is null
                 and c.tenant_id = e.tenant_id and c.id = e.connection_id and lower(c.address) = $4
             returning e.rfc_message_id)
         insert into thread_answers (tenant_id, refers_to, message_id, sent_at)
         select a.tenant_id, renamed.rfc_message_id, a.message_id, a.sent_at
         from renamed
         join thread_answers a on a.tenant_id = $1 and a.refers_to = $3
         on conflict do nothing",
        tenant.0,
        copy.own_id,
        copy.server_id,
        copy.sender,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether somebody else than this user wrote in the thread after the email with this Message-ID, in angle brackets: in answer to
/// it, or later than it to another email of the thread.
pub async fn answered_by_others(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    message_id: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with thread as (
            select $3::text as id, null::timestamptz as since
            union all
            select unnest(thread), sent_at from follow_ups where tenant_id = $1 and rfc_message_id = $3
        )
        select exists (
            select from thread
            join thread_answers a on a.tenant_id = $1 and a.refers_to = thread.id
            where (thread.since is null or a.sent_at > thread.since)
                and not exists (
                    select from own_messages own
                    where own.tenant_id = $1 and own.message_id = a.message_id and own.user_id = $2)
        ) as "answered!"
        "#,
        tenant.0,
        user.0,
        message_id,
    )
    .fetch_one(conn)
    .await
}
