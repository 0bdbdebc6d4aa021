//! `messages`: messages as they were submitted.

use crate::domain::{MessageId, mail::MailFormat};
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

pub async fn exists(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: MessageId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from messages where tenant_id = $1 and id = $2) as "exists!""#,
        tenant.0,
        id.0,
    )
    .fetch_one(conn)
    .await
}
