//! `own_messages`: the threads that a tenant's users wrote to themselves, and when.

use crate::domain::{ApprovalId, DraftId, MessageId, UserId, mail::OwnAnswer};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A stored message that may be a user's own.
#[derive(Clone, Copy, Debug)]
pub struct NewOwnMessage<'a> {
    pub tenant: TenantId,
    pub message: MessageId,
    pub own_answer: &'a OwnAnswer,
}

/// Inserts those that a user of their tenant wrote, in one statement. Messages that we sent for them are left out.
pub async fn insert(
    conn: &mut PgConnection,
    messages: &[NewOwnMessage<'_>],
) -> Result<(), sqlx::Error> {
    let rows: Vec<(&NewOwnMessage<'_>, &String, bool)> = messages
        .iter()
        .flat_map(|mail| {
            let own_answer = mail.own_answer;
            let answered = own_answer.answers.iter().map(|id| (id, true));
            let named = own_answer.thread.iter().map(|id| (id, false));
            answered.chain(named).map(move |(id, is)| (mail, id, is))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let of = |text: &str| text.to_owned();
    sqlx::query!(
        "insert into own_messages (tenant_id, message_id, refers_to, answers, user_id, sent_at)
         select mail.tenant_id, mail.message_id, mail.refers_to, mail.answers, person.id,
             coalesce(mail.sent_at, now())
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::timestamptz[])
             as mail (tenant_id, message_id, written_by, rfc_message_id, own_id, refers_to, answers, sent_at)
         cross join lateral (
             select id from users where tenant_id = mail.tenant_id and lower(email) = mail.written_by
             union
             select user_id from connections where tenant_id = mail.tenant_id and lower(address) = mail.written_by
         ) as person
         where not exists (
             select from effects e
             where e.tenant_id = mail.tenant_id
                 and (e.rfc_message_id in (mail.rfc_message_id, mail.own_id) or e.server_message_id = mail.rfc_message_id))",
        &rows.iter().map(|(m, ..)| m.tenant.0).collect::<Vec<_>>(),
        &rows.iter().map(|(m, ..)| m.message.0).collect::<Vec<_>>(),
        &rows.iter().map(|(m, ..)| of(&m.own_answer.by)).collect::<Vec<_>>(),
        &rows.iter().map(|(m, ..)| m.own_answer.message_id.clone()).collect::<Vec<_>>() as &[Option<String>],
        &rows.iter().map(|(m, ..)| m.own_answer.own_id.clone()).collect::<Vec<_>>() as &[Option<String>],
        &rows.iter().map(|(_, id, _)| of(id)).collect::<Vec<_>>(),
        &rows.iter().map(|(.., answers)| *answers).collect::<Vec<_>>(),
        &rows.iter().map(|(m, ..)| m.own_answer.at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A draft whose user replied with another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupersededDraft {
    pub draft: DraftId,
    /// Its approval.
    pub approval: ApprovalId,
}

/// Lists the unsent drafts that this message makes unnecessary, in the order in which their approvals are locked.
pub async fn superseded_by(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: MessageId,
) -> Result<Vec<SupersededDraft>, sqlx::Error> {
    superseded(conn, tenant, Some(message), None).await
}

/// Whether the draft's user replied with another program after the original message was sent.
pub async fn has_overtaken(
    conn: &mut PgConnection,
    tenant: TenantId,
    draft: DraftId,
) -> Result<bool, sqlx::Error> {
    let found = superseded(conn, tenant, None, Some(draft)).await?;
    Ok(!found.is_empty())
}

async fn superseded(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: Option<MessageId>,
    draft: Option<DraftId>,
) -> Result<Vec<SupersededDraft>, sqlx::Error> {
    // A direct reply counts whatever the clocks say; a follow-up is only superseded by messages that are newer than
    // itself.
    sqlx::query_as!(
        SupersededDraft,
        r#"
        select d.id as "draft: DraftId", d.approval_id as "approval: ApprovalId"
        from drafts d
        join draft_versions v on v.tenant_id = d.tenant_id and v.draft_id = d.id and v.version = d.version
        where d.tenant_id = $1 and d.mode in ('reply', 'reply_all', 'follow_up')
            and d.status in ('ready', 'approved', 'scheduled', 'sending', 'send_failed')
            and ($3::uuid is null or d.id = $3)
            and exists (
                select from own_messages own
                where own.tenant_id = $1 and own.refers_to = any (v.reference_ids || v.in_reply_to)
                    and ($2::uuid is null or own.message_id = $2)
                    and (d.user_id is null or own.user_id = d.user_id)
                    and (own.sent_at > coalesce(d.original_sent_at, d.created_at)
                        or (own.answers and own.refers_to = v.in_reply_to and d.mode <> 'follow_up')))
        order by d.approval_id
        "#,
        tenant.0,
        message.map(|id| id.0),
        draft.map(|id| id.0),
    )
    .fetch_all(conn)
    .await
}

/// Whether this user replied to the message with this Message-ID, or wrote to its thread after it. Message-IDs are in
/// angle brackets.
pub async fn answered(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    message_id: &str,
    thread: &[String],
    sent_at: Option<DateTime<Utc>>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from own_messages
            where tenant_id = $1 and user_id = $2
                and ((answers and refers_to = $3)
                    or ((refers_to = $3 or refers_to = any ($4)) and sent_at > $5))
        ) as "answered!"
        "#,
        tenant.0,
        user.0,
        message_id,
        thread,
        sent_at,
    )
    .fetch_one(conn)
    .await
}
