//! `messages`: mail as it was handed in, unchanged.

use crate::domain::{MessageId, TenantId, mail::MailFormat};
use sqlx::PgConnection;

/// A mail to keep.
pub struct NewMessage<'a> {
    pub id: MessageId,
    pub format: MailFormat,
    pub source: &'a [u8],
    /// [`Mail::content_hash`](crate::domain::mail::Mail::content_hash).
    pub content_hash: [u8; 32],
}

/// A kept mail.
pub struct StoredMessage {
    pub format: MailFormat,
    pub source: Vec<u8>,
}

/// # Errors
/// When the database refuses.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: &NewMessage<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into messages (tenant_id, id, format, source, content_hash) values ($1, $2, $3, $4, $5)",
        tenant.0,
        message.id.0,
        message.format.as_str(),
        message.source,
        &message.content_hash,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// # Errors
/// When the database does not answer.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: MessageId,
) -> Result<Option<StoredMessage>, sqlx::Error> {
    let row = sqlx::query!(
        "select format, source from messages where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(StoredMessage {
            format: MailFormat::parse(&row.format)
                .ok_or_else(|| sqlx::Error::Decode("unknown value in format".into()))?,
            source: row.source,
        })
    })
    .transpose()
}
