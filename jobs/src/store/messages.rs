//! `messages`: messages as they were submitted.

use crate::domain::{MessageId, mail::MailFormat, session::Reader};
use base::TenantId;
use sqlx::PgConnection;

/// A message to insert.
pub struct NewMessage<'a> {
    pub id: MessageId,
    pub tenant: TenantId,
    pub format: MailFormat,
    pub source: &'a [u8],
    /// [`Mail::content_hash`](crate::domain::mail::Mail::content_hash).
    pub content_hash: [u8; 32],
}

/// A stored message.
pub struct StoredMessage {
    pub format: MailFormat,
    pub source: Vec<u8>,
}

/// Inserts messages, in one statement.
pub async fn insert(
    conn: &mut PgConnection,
    messages: &[NewMessage<'_>],
) -> Result<(), sqlx::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into messages (tenant_id, id, format, source, content_hash)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::bytea[])",
        &messages.iter().map(|m| m.tenant.0).collect::<Vec<_>>(),
        &messages.iter().map(|m| m.id.0).collect::<Vec<_>>(),
        &messages
            .iter()
            .map(|m| m.format.as_str().to_owned())
            .collect::<Vec<_>>(),
        &messages.iter().map(|m| m.source).collect::<Vec<_>>() as &[&[u8]],
        &messages
            .iter()
            .map(|m| m.content_hash.to_vec())
            .collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: MessageId,
) -> Result<Option<StoredMessage>, sqlx::Error> {
    sqlx::query_as!(
        StoredMessage,
        r#"select format as "format: MailFormat", source from messages where tenant_id = $1 and id = $2"#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Forgets up to `limit` emails that the tenant no longer keeps, with what was made of them; returns how many.
pub async fn forget_old(
    conn: &mut PgConnection,
    tenant: TenantId,
    limit: i32,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select forget_old_emails($1, $2) as "forgotten!""#,
        tenant.0,
        limit,
    )
    .fetch_one(conn)
    .await
}

/// Forgets up to `limit` approvals, and as many effects, that ended before the tenant's retention of emails began, with
/// their drafts; returns how many. Those of emails that the tenant wrote first name no email.
pub async fn forget_old_writings(
    conn: &mut PgConnection,
    tenant: TenantId,
    limit: i32,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select forget_old_writings($1, $2) as "forgotten!""#,
        tenant.0,
        limit,
    )
    .fetch_one(conn)
    .await
}

/// Finds the first of these messages that does not exist for a request: it is not stored, or came to users whose drafts the
/// request's person may not decide. What came to nobody is everybody's, and an API key is its tenant's.
pub async fn first_hidden(
    conn: &mut PgConnection,
    (tenant, reader): (TenantId, Reader),
    messages: &[MessageId],
) -> Result<Option<MessageId>, sqlx::Error> {
    if messages.is_empty() {
        return Ok(None);
    }
    sqlx::query_scalar!(
        r#"
        select given.id as "id!: MessageId"
        from unnest($2::uuid[]) with ordinality as given (id, position)
        left join messages m on m.tenant_id = $1 and m.id = given.id
        where m.id is null or not $3 and not (
            select array_agg(owner_id) from (
                select owner_id from triage_results
                where tenant_id = $1 and message_id = m.id and owner_id is not null
                union all
                select c.user_id from connections c
                join fetched_emails f on f.tenant_id = c.tenant_id and f.connection_id = c.id
                    and f.content_hash = m.content_hash
                where c.tenant_id = $1
                union all
                select user_id from follow_ups where tenant_id = $1 and message_id = m.id
            ) owners
        ) && array(select owners_decided_by($1, $4))
        order by given.position
        limit 1
        "#,
        tenant.0,
        &messages.iter().map(|id| id.0).collect::<Vec<_>>(),
        reader.reads_all || reader.person.is_none(),
        reader.person.map(|user| user.0),
    )
    .fetch_optional(conn)
    .await
}
