//! `proposed_actions`: the actions that triage proposes, with the gate's decision.

use crate::domain::{ApprovalId, MessageId, gate::Gate, proposal::ProposedAction, risk::Risk};
use base::{JobId, TenantId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// A stored action.
pub struct StoredAction {
    pub id: Uuid,
    pub message: MessageId,
    pub kind: String,
    pub payload: Value,
    pub risk: Risk,
    pub gate: Gate,
    pub confidence: f32,
    pub approval: Option<ApprovalId>,
}

/// Inserts a job's actions in one statement; their approvals must exist.
///
/// # Errors
/// When the database refuses, for example the same action twice for one job.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
    message: MessageId,
    actions: &[ProposedAction],
) -> Result<(), sqlx::Error> {
    if actions.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = actions.iter().map(|action| action.id).collect();
    let kinds: Vec<String> = actions
        .iter()
        .map(|action| action.proposal.kind.to_string())
        .collect();
    let payloads: Vec<Value> = actions
        .iter()
        .map(|action| action.proposal.params.as_json())
        .collect();
    let risks: Vec<String> = actions
        .iter()
        .map(|action| action.risk.to_string())
        .collect();
    let gates: Vec<String> = actions
        .iter()
        .map(|action| action.gate.to_string())
        .collect();
    let confirmations: Vec<bool> = actions
        .iter()
        .map(|action| action.gate == Gate::Approval)
        .collect();
    let confidences: Vec<f32> = actions
        .iter()
        .map(|action| action.proposal.confidence)
        .collect();
    let rationales: Vec<Option<String>> = actions
        .iter()
        .map(|action| action.proposal.rationale.clone())
        .collect();
    let fingerprints: Vec<Vec<u8>> = actions
        .iter()
        .map(|action| action.proposal.fingerprint().to_vec())
        .collect();
    let approvals: Vec<Option<Uuid>> = actions
        .iter()
        .map(|action| action.approval.map(|id| id.0))
        .collect();
    sqlx::query!(
        r#"
        insert into proposed_actions (
            tenant_id, id, job_id, message_id, type, payload, risk, gate, requires_confirmation, confidence, rationale,
            fingerprint, approval_id)
        select $1, id, $2, $3, type, payload, risk, gate, requires_confirmation, confidence, rationale, fingerprint,
            approval_id
        from unnest(
            $4::uuid[], $5::text[], $6::jsonb[], $7::text[], $8::text[], $9::bool[], $10::real[], $11::text[],
            $12::bytea[], $13::uuid[])
            as action (id, type, payload, risk, gate, requires_confirmation, confidence, rationale, fingerprint,
                approval_id)
        "#,
        tenant.0,
        job.0,
        message.0,
        &ids,
        &kinds,
        &payloads,
        &risks,
        &gates,
        &confirmations,
        &confidences,
        &rationales as &[Option<String>],
        &fingerprints,
        &approvals as &[Option<Uuid>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists the actions that a job proposed, in their order.
pub async fn of_job(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Vec<StoredAction>, sqlx::Error> {
    sqlx::query_as!(
        StoredAction,
        r#"
        select id, message_id as "message: MessageId", type as kind, payload, risk as "risk: Risk", gate as "gate: Gate",
            confidence, approval_id as "approval: ApprovalId"
        from proposed_actions
        where tenant_id = $1 and job_id = $2
        order by id
        "#,
        tenant.0,
        job.0,
    )
    .fetch_all(conn)
    .await
}
