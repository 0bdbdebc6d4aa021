//! `approvals`: decisions that wait for a person. Deciding them is not here yet.

use crate::domain::{JobId, TenantId, approval::NewApproval};
use sqlx::PgConnection;

/// # Errors
/// When the database refuses.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
    approval: &NewApproval,
) -> Result<(), sqlx::Error> {
    let choices: Vec<String> = approval.choices.iter().map(ToString::to_string).collect();
    sqlx::query!(
        r#"
        insert into approvals (
            tenant_id, id, kind, title, summary, actions, source, payload, payload_hash, risk, rationale, confidence,
            job_id, expires_at)
        values ($1, $2, $3, $4, $5, $6, 'triage', $7, $8, $9, $10, $11, $12, $13)
        "#,
        tenant.0,
        approval.id.0,
        approval.kind,
        &approval.title,
        &approval.summary,
        &choices,
        &approval.payload,
        &approval.payload_hash,
        approval.risk.as_str(),
        approval.rationale.as_deref(),
        approval.confidence,
        job.0,
        approval.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}
