//! The writes of a triage in the transaction that settles its job: result, actions, approvals, history, audit.

use super::metrics::TriageMetrics;
use super::plan::Plan;
use async_trait::async_trait;
use base::JobId;
use jobs::commands::audit::JobAudit;
use jobs::domain::ResourceKind;
use jobs::domain::history::HistoryVerb;
use jobs::{
    commands::{
        approvals::withdraw_proposals,
        drafts::supersede_drafts,
        effects::bounce::{BouncedEmail, StoredBounce, record_bounce},
        follow_ups::end_by_email,
        watches::readers::item_owners,
    },
    domain::{
        AuditAction, Detail, InboxItemId, MessageId, NewAuditEntry, UserId,
        corrections::JudgedEmail,
        inbox::NewItem,
        judgement::{Judgement, Source},
    },
    kinds::triage::{Mode, default_name},
    store::{
        approvals, audit,
        follow_ups::{self, OwnEmail},
        history::{self, NewHistoryEntry},
        inbox_items, llm_checkpoints, proposed_actions,
        thread_answers::{self, OwnCopy},
        triage_results::{self, NewTriageResult},
    },
};
use queue::runtime::handler::SettleWrites;
use queue::{Job, enqueue::names};
use sqlx::PgConnection;

/// The writes of one triage.
pub(super) struct TriageWrites {
    pub(super) message: MessageId,
    /// A user of the tenant sent it.
    pub(super) own: bool,
    /// It may wait for an answer.
    pub(super) own_email: Option<OwnEmail>,
    /// We sent it, and a mail server renamed it.
    pub(super) own_copy: Option<OwnCopy>,
    pub(super) ruleset_version: i32,
    pub(super) result: TriageResult,
    pub(super) metrics: TriageMetrics,
}

/// The result to write.
pub(super) enum TriageResult {
    All(Box<NewFinding>),
    /// A dry run writes the audit log only; otherwise a later real run would find the email judged already.
    AuditOnly(Plan),
    /// The email was judged before; its result exists.
    Former {
        job: JobId,
        judgement: Judgement,
    },
}

/// A new result.
pub(super) struct NewFinding {
    pub(super) plan: Plan,
    /// The inbox item for the user.
    pub(super) item: Option<NewItem>,
    pub(super) content_hash: [u8; 32],
    pub(super) owner: Option<UserId>,
    /// In lower case; empty if the email names none.
    pub(super) sender: String,
    /// The email of ours that this one reports as not delivered.
    pub(super) bounced: Option<BouncedEmail>,
    pub(super) mode: Mode,
    pub(super) forced: bool,
    pub(super) prompt_version: Option<&'static str>,
    /// The model was unavailable, and the email is judged again when it is back.
    pub(super) is_outage: bool,
    /// The email, as corrections name it.
    pub(super) email: JudgedEmail,
    /// Jobs whose fallback this result replaces.
    pub(super) replaces: Vec<JobId>,
}

#[async_trait]
impl SettleWrites for TriageWrites {
    async fn apply(&self, conn: &mut PgConnection, job: &Job) -> Result<(), sqlx::Error> {
        let items = match &self.result {
            TriageResult::All(finding) => self.write_finding(conn, job, finding).await?,
            TriageResult::AuditOnly(_) | TriageResult::Former { .. } => Vec::new(),
        };
        if !matches!(self.result, TriageResult::AuditOnly(_)) {
            self.follow_thread(conn, job).await?;
        }
        llm_checkpoints::delete_of_job(conn, job.lease.tenant, job.lease.job).await?;
        audit::insert(conn, &self.audit_entries(job, &items)).await
    }

    fn committed(&self) {
        match &self.result {
            TriageResult::All(finding) => {
                self.count(&finding.plan.judgement);
                for approval in &finding.plan.approvals {
                    self.metrics.approval_created(approval.risk);
                }
            }
            TriageResult::AuditOnly(plan) => self.count(&plan.judgement),
            TriageResult::Former { judgement, .. } => {
                self.metrics.decided(Source::Guard, judgement.disposition);
            }
        }
    }
}

impl TriageWrites {
    /// Ends what the thread waited for before this email, and waits for the answer to it if it is a user's own.
    async fn follow_thread(&self, conn: &mut PgConnection, job: &Job) -> Result<(), sqlx::Error> {
        if self.own {
            supersede_drafts(conn, job, self.message).await?;
        }
        if let Some(copy) = &self.own_copy {
            thread_answers::learn_server_id(conn, job.lease.tenant, copy).await?;
        }
        end_by_email(conn, job, self.message).await?;
        match &self.own_email {
            Some(email) => {
                follow_ups::insert_own(conn, job.lease.tenant, self.message, email).await
            }
            None => Ok(()),
        }
    }

    async fn write_finding(
        &self,
        conn: &mut PgConnection,
        job: &Job,
        finding: &NewFinding,
    ) -> Result<Vec<InboxItemId>, sqlx::Error> {
        let (tenant, id, plan) = (job.lease.tenant, job.lease.job, &finding.plan);
        // First, because its unique key serialises two jobs that judge the same email.
        let result = NewTriageResult {
            job: id,
            message: self.message,
            content_hash: finding.content_hash,
            owner: finding.owner,
            ruleset_version: self.ruleset_version,
            mode: finding.mode.as_str(),
            forced: finding.forced,
            outage: finding.is_outage,
            prompt_version: finding.prompt_version,
            judgement: &plan.judgement,
            email: finding.email.clone(),
        };
        triage_results::insert(conn, tenant, &result).await?;
        if finding.is_outage {
            // The same email submitted again is new work, not this result.
            let name = default_name(
                &finding.content_hash,
                self.ruleset_version,
                finding.mode,
                false,
            );
            names::forget(conn, tenant, id, (&job.kind, &name)).await?;
        } else {
            for replaced in &finding.replaces {
                withdraw_proposals(conn, job, *replaced).await?;
            }
        }
        if let Some(bounced) = &finding.bounced {
            let stored = StoredBounce {
                message: self.message,
                content_hash: &finding.content_hash,
            };
            record_bounce(conn, job, stored, bounced).await?;
        }
        for approval in &plan.approvals {
            approvals::insert(conn, tenant, id, approval).await?;
        }
        proposed_actions::insert(conn, tenant, id, self.message, &plan.actions).await?;
        let entry = NewHistoryEntry {
            verb: HistoryVerb::Triaged,
            object_kind: ResourceKind::Message,
            object: self.message.0,
            job: Some(id),
            rationale: &plan.judgement.rationale,
        };
        history::insert(conn, tenant, &entry).await?;
        for approval in &plan.approvals {
            let entry = NewHistoryEntry {
                verb: HistoryVerb::Proposed,
                object_kind: ResourceKind::Approval,
                object: approval.id.0,
                job: Some(id),
                rationale: approval.rationale.as_deref().unwrap_or(&approval.title),
            };
            history::insert(conn, tenant, &entry).await?;
        }
        match &finding.item {
            Some(item) => add_items(conn, job, finding, item).await,
            None => Ok(Vec::new()),
        }
    }

    /// Builds the audit entries.
    fn audit_entries(&self, job: &Job, items: &[InboxItemId]) -> Vec<NewAuditEntry> {
        let entry = |action, kind, id: String, detail| {
            let mut entry = job.audit(action, kind, id).with_detail(detail);
            entry.dry_run = matches!(self.result, TriageResult::AuditOnly(_));
            entry
        };
        let message = self.message.to_string();
        let mut entries = vec![entry(
            AuditAction::TriageReceived,
            ResourceKind::Message,
            message.clone(),
            Detail::new(),
        )];
        let (judgement, actions) = match &self.result {
            TriageResult::All(finding) => {
                (&finding.plan.judgement, finding.plan.actions.as_slice())
            }
            TriageResult::AuditOnly(plan) => (&plan.judgement, plan.actions.as_slice()),
            TriageResult::Former { judgement, .. } => (judgement, [].as_slice()),
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
        if let TriageResult::Former { job: former, .. } = &self.result {
            outcome = outcome.id("judged_by_job", former.0);
        } else {
            for rule in &judgement.rules_applied {
                let detail = Detail::new()
                    .fingerprint("rule", rule)
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
        if let TriageResult::All(finding) = &self.result {
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
        for item in items {
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

/// Adds the email to the inbox of each person whose mailbox has it.
async fn add_items(
    conn: &mut PgConnection,
    job: &Job,
    finding: &NewFinding,
    item: &NewItem,
) -> Result<Vec<InboxItemId>, sqlx::Error> {
    let (tenant, id) = (job.lease.tenant, job.lease.job);
    let whose = (item.owner, finding.sender.as_str());
    let mut items = Vec::new();
    for owner in item_owners(conn, tenant, &finding.content_hash, whose).await? {
        let item = NewItem {
            owner,
            job: Some(id),
            ..item.clone()
        };
        let Some(added) = inbox_items::insert(conn, tenant, &item).await? else {
            continue;
        };
        let entry = NewHistoryEntry {
            verb: HistoryVerb::Added,
            object_kind: ResourceKind::InboxItem,
            object: added.0,
            job: Some(id),
            rationale: item.title.as_str(),
        };
        history::insert_about(conn, tenant, item.owner, &entry).await?;
        items.push(added);
    }
    Ok(items)
}
