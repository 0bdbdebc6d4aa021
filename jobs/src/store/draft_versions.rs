//! `draft_versions`: one append-only row per version of a draft, with everything that is needed to render the message.

use crate::domain::{
    DraftId,
    draft::{Confidence, Origin, OutgoingMessage, Tone},
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// The origin of a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Making {
    pub origin: Origin,
    /// The user's instructions.
    pub instructions: Option<String>,
    pub tone: Option<Tone>,
    pub confidence: Confidence,
    /// The language, as the model names it.
    pub language: Option<String>,
    pub assumptions: Vec<String>,
    pub open_questions: Vec<String>,
    pub memory_ids: Vec<Uuid>,
    pub model: Option<String>,
    pub prompt_version: Option<String>,
    pub job: JobId,
}

/// A stored version.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVersion {
    pub draft: DraftId,
    pub version: i32,
    pub message: OutgoingMessage,
    /// [`OutgoingMessage::content_hash`] of the version when it was added.
    pub content_hash: Vec<u8>,
    pub making: Making,
    pub created_at: DateTime<Utc>,
}

struct Row {
    draft: DraftId,
    version: i32,
    from_address: Option<String>,
    to_addresses: Vec<String>,
    cc_addresses: Vec<String>,
    bcc_addresses: Vec<String>,
    subject: String,
    in_reply_to: Option<String>,
    reference_ids: Vec<String>,
    body_text: String,
    send_at: Option<DateTime<Utc>>,
    content_hash: Vec<u8>,
    origin: Origin,
    instructions: Option<String>,
    tone: Option<Tone>,
    confidence: Confidence,
    language: Option<String>,
    assumptions: Vec<String>,
    open_questions: Vec<String>,
    memory_ids: Vec<Uuid>,
    model: Option<String>,
    prompt_version: Option<String>,
    job: JobId,
    created_at: DateTime<Utc>,
}

impl From<Row> for StoredVersion {
    fn from(row: Row) -> Self {
        Self {
            draft: row.draft,
            version: row.version,
            message: OutgoingMessage {
                from: row.from_address,
                to: row.to_addresses,
                cc: row.cc_addresses,
                bcc: row.bcc_addresses,
                subject: row.subject,
                in_reply_to: row.in_reply_to,
                references: row.reference_ids,
                body_text: row.body_text,
                send_at: row.send_at,
            },
            content_hash: row.content_hash,
            making: Making {
                origin: row.origin,
                instructions: row.instructions,
                tone: row.tone,
                confidence: row.confidence,
                language: row.language,
                assumptions: row.assumptions,
                open_questions: row.open_questions,
                memory_ids: row.memory_ids,
                model: row.model,
                prompt_version: row.prompt_version,
                job: row.job,
            },
            created_at: row.created_at,
        }
    }
}

/// # Errors
/// When the database refuses, for example because the version exists.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    (draft, version): (DraftId, i32),
    message: &OutgoingMessage,
    making: &Making,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into draft_versions (
            tenant_id, draft_id, version, from_address, to_addresses, cc_addresses, bcc_addresses, subject, in_reply_to,
            reference_ids, body_text, send_at, content_hash, origin, instructions, tone, confidence, language, assumptions,
            open_questions, memory_ids, model, prompt_version, job_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
            $24)
        "#,
        tenant.0,
        draft.0,
        version,
        message.from.as_deref(),
        &message.to,
        &message.cc,
        &message.bcc,
        message.subject,
        message.in_reply_to.as_deref(),
        &message.references,
        message.body_text,
        message.send_at,
        &message.content_hash(),
        making.origin.as_str(),
        making.instructions.as_deref(),
        making.tone.map(Tone::as_str),
        making.confidence.as_str(),
        making.language.as_deref(),
        &making.assumptions,
        &making.open_questions,
        &making.memory_ids,
        making.model.as_deref(),
        making.prompt_version.as_deref(),
        making.job.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    draft: DraftId,
    version: i32,
) -> Result<Option<StoredVersion>, sqlx::Error> {
    Ok(select(conn, tenant, draft, Some(version), i32::MAX, 1)
        .await?
        .pop())
}

/// Lists versions, newest first, starting after `before`.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    draft: DraftId,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<StoredVersion>, sqlx::Error> {
    select(conn, tenant, draft, None, before.unwrap_or(i32::MAX), limit).await
}

async fn select(
    conn: &mut PgConnection,
    tenant: TenantId,
    draft: DraftId,
    version: Option<i32>,
    before: i32,
    limit: i64,
) -> Result<Vec<StoredVersion>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select draft_id as "draft: DraftId", version, from_address, to_addresses, cc_addresses, bcc_addresses, subject,
            in_reply_to, reference_ids, body_text, send_at, content_hash, origin as "origin: Origin", instructions,
            tone as "tone: Tone", confidence as "confidence: Confidence", language, assumptions, open_questions, memory_ids, model, prompt_version, job_id as "job: JobId", created_at
        from draft_versions
        where tenant_id = $1 and draft_id = $2 and ($3::int is null or version = $3) and version < $4
        order by version desc
        limit $5
        "#,
        tenant.0,
        draft.0,
        version,
        before,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(StoredVersion::from).collect())
}
