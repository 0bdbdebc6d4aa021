//! What a triage leaves behind, in the transaction that settles its job: result, actions, approvals, history, audit.

use super::metrics::TriageMetrics;
use super::plan::Plan;
use async_trait::async_trait;
use base::JobId;
use jobs::commands::audit::JobAudit;
use jobs::domain::ResourceKind;
use jobs::domain::history::HistoryVerb;
use jobs::{
    commands::drafts::supersede_drafts,
    domain::{
        AuditAction, Detail, InboxItemId, MessageId, NewAuditEntry,
        inbox::NewItem,
        judgement::{Judgement, Source},
    },
    kinds::triage::Mode,
    store::{
        approvals, audit,
        history::{self, NewHistoryEntry},
        inbox_items, llm_checkpoints, proposed_actions,
        triage_results::{self, NewTriageResult},
    },
};
use queue::Job;
use queue::runtime::handler::Writes;
use sqlx::PgConnection;

/// The writes of one triage.
pub(super) struct TriageWrites {
    pub(super) message: MessageId,
    /// Somebody of the tenant wrote it.
    pub(super) own: bool,
    pub(super) ruleset_version: i32,
    pub(super) kept: Kept,
    pub(super) metrics: TriageMetrics,
}

/// How much is kept.
pub(super) enum Kept {
    All(Box<NewFinding>),
    /// A dry run: nothing but the job's output and the audit log, or the real run after it would find the mail judged.
    AuditOnly(Plan),
    /// The mail was judged before: everything is there.
    Former {
        job: JobId,
        judgement: Judgement,
    },
}

/// A finding that is written down.
pub(super) struct NewFinding {
    pub(super) plan: Plan,
    /// What waits for a person because of it.
    pub(super) item: Option<NewItem>,
    pub(super) content_hash: [u8; 32],
    pub(super) mode: Mode,
    pub(super) forced: bool,
    pub(super) prompt_version: Option<&'static str>,
}

#[async_trait]
impl Writes for TriageWrites {
    async fn apply(&self, conn: &mut PgConnection, job: &Job) -> Result<(), sqlx::Error> {
        let item = match &self.kept {
            Kept::All(finding) => self.write_finding(conn, job, finding).await?,
            Kept::AuditOnly(_) | Kept::Former { .. } => None,
        };
        if self.own && !matches!(self.kept, Kept::AuditOnly(_)) {
            supersede_drafts(conn, job, self.message).await?;
        }
        llm_checkpoints::delete_of_job(conn, job.tenant, job.lease.job).await?;
        audit::insert(conn, &self.audit_entries(job, item)).await
    }

    fn committed(&self) {
        match &self.kept {
            Kept::All(finding) => {
                self.count(&finding.plan.judgement);
                for approval in &finding.plan.approvals {
                    self.metrics.approval_created(approval.risk);
                }
            }
            Kept::AuditOnly(plan) => self.count(&plan.judgement),
            Kept::Former { judgement, .. } => {
                self.metrics.decided(Source::Guard, judgement.disposition);
            }
        }
    }
}

impl TriageWrites {
    async fn write_finding(
        &self,
        conn: &mut PgConnection,
        job: &Job,
        finding: &NewFinding,
    ) -> Result<Option<InboxItemId>, sqlx::Error> {
        let (tenant, id, plan) = (job.tenant, job.lease.job, &finding.plan);
        // First, because it is what two jobs that judge the same mail meet at.
        let result = NewTriageResult {
            job: id,
            message: self.message,
            content_hash: finding.content_hash,
            ruleset_version: self.ruleset_version,
            mode: finding.mode.as_str(),
            forced: finding.forced,
            prompt_version: finding.prompt_version,
            judgement: &plan.judgement,
        };
        triage_results::insert(conn, tenant, &result).await?;
        for approval in &plan.approvals {
            approvals::insert(conn, tenant, id, approval).await?;
        }
        proposed_actions::insert(conn, tenant, id, self.message, &plan.actions).await?;
        let judged = NewHistoryEntry {
            verb: HistoryVerb::Triaged,
            object_kind: ResourceKind::Message,
            object: self.message.0,
            job: Some(id),
            rationale: &plan.judgement.rationale,
        };
        history::insert(conn, tenant, &judged).await?;
        for approval in &plan.approvals {
            let asked = NewHistoryEntry {
                verb: HistoryVerb::Proposed,
                object_kind: ResourceKind::Approval,
                object: approval.id.0,
                job: Some(id),
                rationale: approval.rationale.as_deref().unwrap_or(&approval.title),
            };
            history::insert(conn, tenant, &asked).await?;
        }
        match &finding.item {
            Some(item) => {
                let item = NewItem {
                    job: Some(id),
                    ..item.clone()
                };
                let added = inbox_items::insert(conn, tenant, &item).await?;
                if let Some(added) = added {
                    let told = NewHistoryEntry {
                        verb: HistoryVerb::Added,
                        object_kind: ResourceKind::InboxItem,
                        object: added.0,
                        job: Some(id),
                        rationale: item.title.as_str(),
                    };
                    history::insert_about(conn, tenant, item.owner, &told).await?;
                }
                Ok(added)
            }
            None => Ok(None),
        }
    }

    /// With the item that was added, if one was.
    fn audit_entries(&self, job: &Job, item: Option<InboxItemId>) -> Vec<NewAuditEntry> {
        let entry = |action, kind, id: String, detail| {
            let mut entry = job.audit(action, kind, id).with_detail(detail);
            entry.dry_run = matches!(self.kept, Kept::AuditOnly(_));
            entry
        };
        let message = self.message.to_string();
        let mut entries = vec![entry(
            AuditAction::TriageReceived,
            ResourceKind::Message,
            message.clone(),
            Detail::new(),
        )];
        let (judgement, actions) = match &self.kept {
            Kept::All(finding) => (&finding.plan.judgement, finding.plan.actions.as_slice()),
            Kept::AuditOnly(plan) => (&plan.judgement, plan.actions.as_slice()),
            Kept::Former { judgement, .. } => (judgement, [].as_slice()),
        };
        let mut outcome = Detail::new()
            .word("category", judgement.category.as_str())
            .word("disposition", judgement.disposition.as_str())
            .word("priority", judgement.priority.as_str())
            .word("source", judgement.source.as_str())
            .flag("degraded", judgement.degraded)
            .flag("injection_suspected", judgement.injection_suspected)
            .count("actions", i64::try_from(actions.len()).unwrap_or(i64::MAX))
            .count("ruleset_version", self.ruleset_version);
        if let Kept::Former { job: former, .. } = &self.kept {
            outcome = outcome.id("judged_by_job", former.0);
        } else {
            for rule in &judgement.rules_applied {
                let detail = Detail::new()
                    .name("rule", rule)
                    .count("ruleset_version", self.ruleset_version);
                entries.push(entry(
                    AuditAction::TriageRuleMatched,
                    ResourceKind::Message,
                    message.clone(),
                    detail,
                ));
            }
        }
        for action in actions {
            let detail = Detail::new()
                .word("type", action.proposal.kind.as_str())
                .word("risk", action.risk.as_str())
                .word("gate", action.gate.as_str());
            entries.push(entry(
                AuditAction::ActionProposed,
                ResourceKind::Action,
                action.id.to_string(),
                detail,
            ));
        }
        if let Kept::All(finding) = &self.kept {
            for approval in &finding.plan.approvals {
                let detail = Detail::new()
                    .word("type", approval.kind)
                    .word("risk", approval.risk.as_str());
                entries.push(entry(
                    AuditAction::ApprovalCreated,
                    ResourceKind::Approval,
                    approval.id.to_string(),
                    detail,
                ));
            }
        }
        if let Some(item) = item {
            let detail = Detail::new().word("priority", judgement.priority.as_str());
            entries.push(entry(
                AuditAction::ItemCreated,
                ResourceKind::InboxItem,
                item.to_string(),
                detail,
            ));
        }
        entries.push(entry(
            AuditAction::TriageCompleted,
            ResourceKind::Message,
            message,
            outcome,
        ));
        entries
    }

    fn count(&self, judgement: &Judgement) {
        self.metrics
            .decided(judgement.source, judgement.disposition);
    }
}
