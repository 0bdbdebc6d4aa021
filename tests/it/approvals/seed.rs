//! Approvals as triage leaves them.

use crate::support::TestDb;
use base::{JobId, TenantId, clock::Clock};
use chrono::Utc;
use jobs::{
    domain::{
        MessageId,
        action::{ActionType, Params},
        approval::NewApproval,
        gate::Confirmation,
        proposal::Proposal,
        risk::Risk,
    },
    store::approvals,
};
use serde_json::{Value, json};

/// Puts a task of this title before the tenant; the id of the approval.
pub(crate) async fn propose(db: &TestDb, tenant: TenantId, title: &str) -> String {
    propose_action(
        db,
        tenant,
        ActionType::CreateTask,
        &json!({ "title": title }),
    )
    .await
}

/// The same for any action.
pub(crate) async fn propose_action(
    db: &TestDb,
    tenant: TenantId,
    kind: ActionType,
    params: &Value,
) -> String {
    propose_about(db, tenant, kind, params, MessageId::new()).await
}

/// The same about an email.
pub(crate) async fn propose_about(
    db: &TestDb,
    tenant: TenantId,
    kind: ActionType,
    params: &Value,
    message: MessageId,
) -> String {
    let proposal = Proposal {
        kind,
        params: Params::read(kind, params.as_object().unwrap()).unwrap(),
        confirmation: Confirmation::AsTrusted,
        confidence: 0.9,
        rationale: None,
    };
    let now: chrono::DateTime<Utc> = Clock::System.now();
    let approval = NewApproval::of(&proposal, message, Risk::Medium, now);
    let mut conn = db.pool().acquire().await.unwrap();
    approvals::insert(&mut conn, tenant, JobId::new(), &approval)
        .await
        .unwrap();
    approval.id.to_string()
}
