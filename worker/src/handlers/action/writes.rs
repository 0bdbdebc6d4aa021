//! The writes of an action job in the transaction that settles it: approvals, history and audit. The ledger has its effects
//! already.

use super::metrics::ActionMetrics;
use async_trait::async_trait;
use jobs::commands::audit::JobAudit;
use jobs::domain::ResourceKind;
use jobs::domain::history::HistoryVerb;
use jobs::{
    commands::approvals::execute::{ExecutionEnd, end},
    domain::{ApprovalId, AuditAction, Detail, NewAuditEntry, approval::NewApproval},
    kinds::action::{ActionOutcome, ActionResult, Output},
    store::{
        approvals, audit,
        history::{self, NewHistoryEntry},
    },
};
use queue::Job;
use queue::runtime::handler::SettleWrites;
use sqlx::PgConnection;

/// The writes of one job.
pub(super) struct ActionWrites {
    pub(super) output: Output,
    /// The approvals that its actions need.
    pub(super) approvals: Vec<NewApproval>,
    /// The approval that was executed or undone.
    pub(super) approval: Option<(ApprovalId, ExecutionEnd)>,
    pub(super) metrics: ActionMetrics,
}

#[async_trait]
impl SettleWrites for ActionWrites {
    async fn apply(&self, conn: &mut PgConnection, job: &Job) -> Result<(), sqlx::Error> {
        if let Some((approval, ending)) = &self.approval {
            end(conn, job, *approval, ending).await?;
        }
        for approval in &self.approvals {
            approvals::insert(conn, job.lease.tenant, job.lease.job, approval).await?;
            self.record(
                conn,
                job,
                HistoryVerb::Proposed,
                ResourceKind::Approval,
                approval.id.0,
                &approval.title,
            )
            .await?;
        }
        for outcome in &self.output.actions {
            let verb = match outcome.result {
                ActionResult::Succeeded => HistoryVerb::Done,
                ActionResult::Failed => HistoryVerb::Failed,
                _ => continue,
            };
            if let Some(effect) = outcome.effect_id {
                let title = outcome.r#type.spec().title;
                self.record(conn, job, verb, ResourceKind::Effect, effect.0, title)
                    .await?;
            }
        }
        let entries: Vec<NewAuditEntry> = self
            .output
            .actions
            .iter()
            .map(|outcome| self.audit_entry(job, outcome))
            .collect();
        audit::insert(conn, &entries).await
    }

    fn committed(&self) {
        for outcome in &self.output.actions {
            self.metrics.ended(outcome.r#type, outcome.result);
        }
    }
}

impl ActionWrites {
    async fn record(
        &self,
        conn: &mut PgConnection,
        job: &Job,
        verb: HistoryVerb,
        object_kind: ResourceKind,
        object: uuid::Uuid,
        rationale: &str,
    ) -> Result<(), sqlx::Error> {
        let entry = NewHistoryEntry {
            verb,
            object_kind,
            object,
            job: Some(job.lease.job),
            rationale,
        };
        history::insert(conn, job.lease.tenant, &entry).await
    }

    /// Builds the audit entry of one action.
    fn audit_entry(&self, job: &Job, outcome: &ActionOutcome) -> NewAuditEntry {
        let (action, kind, id) = match (outcome.result, outcome.approval_id, outcome.effect_id) {
            (ActionResult::PendingApproval, Some(id), _) => (
                AuditAction::ApprovalCreated,
                ResourceKind::Approval,
                id.to_string(),
            ),
            (_, _, Some(id)) => (
                AuditAction::ActionEnded,
                ResourceKind::Effect,
                id.to_string(),
            ),
            (_, _, None) => (
                AuditAction::ActionEnded,
                ResourceKind::Job,
                job.lease.job.to_string(),
            ),
        };
        let mut entry = job.audit(action, kind, id).with_detail(
            Detail::new()
                .word("type", outcome.r#type.as_str())
                .word("risk", outcome.risk.as_str())
                .word("gate", outcome.gate.as_str())
                .word("result", outcome.result.as_str()),
        );
        entry.dry_run = self.output.dry_run;
        match &outcome.error {
            Some(error) if outcome.result == ActionResult::Denied => entry.denied(&error.code),
            Some(error) => entry.failed(&error.code),
            None => entry,
        }
    }
}
