//! The writes of a draft in the transaction that settles its job: version, approval, history, audit.

use super::metrics::DraftMetrics;
use async_trait::async_trait;
use jobs::commands::audit::JobAudit;
use jobs::domain::ResourceKind;
use jobs::domain::history::HistoryVerb;
use jobs::{
    domain::{
        ApprovalId, AuditAction, Detail, DraftId, FollowUpId, InboxItemId, NewAuditEntry, UserId,
        approval::{NewApproval, Patched, Status, Step},
        draft::OutgoingMessage,
        inbox::NewItem,
    },
    kinds::{api_key_of, draft::DraftOutcome},
    store::{
        api_keys, approvals, audit,
        draft_versions::{self, Making},
        drafts::{self, NewDraft},
        follow_ups,
        history::{self, NewHistoryEntry},
        inbox_items, llm_checkpoints,
    },
};
use queue::Job;
use queue::runtime::handler::SettleWrites;
use sqlx::PgConnection;

/// The writes of one draft.
pub(super) struct DraftWrites {
    pub(super) outcome: DraftOutcome,
    pub(super) result: DraftResult,
    pub(super) dry_run: bool,
    /// The follow-up that asked for a reminder.
    pub(super) follow_up: Option<FollowUpId>,
    pub(super) metrics: DraftMetrics,
}

/// The result to write.
pub(super) enum DraftResult {
    Version(Box<NewVersion>),
    /// Open questions, as an inbox item for the user.
    Questions {
        item: Option<NewItem>,
        /// The approval that waited for the revision; it is proposed again unchanged.
        revised: Option<ApprovalId>,
    },
    Nothing,
}

/// A version that is written down.
pub(super) struct NewVersion {
    /// Present for the first version of a draft.
    pub(super) new: Option<NewDraft>,
    pub(super) draft: DraftId,
    pub(super) number: i32,
    /// The approval of the previous version.
    pub(super) former_approval: Option<ApprovalId>,
    /// The payload of an approval of this version.
    pub(super) payload: Patched,
    /// None if the former approval continues with the new payload.
    pub(super) approval: Option<NewApproval>,
    /// The user who asked for this version.
    pub(super) asked_by: Option<UserId>,
    pub(super) message: OutgoingMessage,
    pub(super) making: Making,
}

impl NewVersion {
    pub(super) fn approval_id(&self) -> Option<ApprovalId> {
        let new = self.approval.as_ref().map(|approval| approval.id);
        new.or(self.former_approval)
    }
}

#[async_trait]
impl SettleWrites for DraftWrites {
    async fn apply(&self, conn: &mut PgConnection, job: &Job) -> Result<(), sqlx::Error> {
        let mut item_id = None;
        if let (Some(id), false) = (self.follow_up, matches!(self.result, DraftResult::Nothing))
            && !self.dry_run
            && !follow_ups::hold_reminded(conn, job.lease.tenant, id).await?
        {
            return Err(changed_meanwhile());
        }
        match &self.result {
            DraftResult::Version(version) => write_version(conn, job, version).await?,
            DraftResult::Questions { item, revised } if !self.dry_run => {
                if let Some(approval) = revised {
                    return_unchanged(conn, job, *approval).await?;
                }
                if let Some(item) = item {
                    item_id = inbox_items::insert(conn, job.lease.tenant, item).await?;
                }
            }
            DraftResult::Questions { .. } | DraftResult::Nothing => {}
        }
        llm_checkpoints::delete_of_job(conn, job.lease.tenant, job.lease.job).await?;
        audit::insert(conn, &self.audit_entries(job, item_id)).await
    }

    fn committed(&self) {
        self.metrics.ended(self.outcome);
    }
}

/// The draft was changed or decided, or its follow-up has ended, since it was loaded; the next attempt starts from the current version.
fn changed_meanwhile() -> sqlx::Error {
    // As an error that no retry of the same writes mends.
    sqlx::Error::Encode("the draft, its approval or its follow-up was changed meanwhile".into())
}

async fn write_version(
    conn: &mut PgConnection,
    job: &Job,
    version: &NewVersion,
) -> Result<(), sqlx::Error> {
    let tenant = job.lease.tenant;
    let approval = version.approval_id().ok_or_else(changed_meanwhile)?;
    if let Some(former) = version.former_approval {
        // Locks the approval before the draft, in the same order everywhere, which avoids deadlocks.
        let locked = approvals::lock(conn, tenant, former)
            .await?
            .ok_or_else(changed_meanwhile)?;
        let is_held =
            locked.status == Status::Editing && locked.execution_job == Some(job.lease.job);
        let is_over = matches!(
            locked.status,
            Status::Rejected | Status::Expired | Status::Failed | Status::Undone
        );
        match &version.approval {
            None if is_held => {
                let next = locked.version + 1;
                let by = match (version.asked_by, api_key_of(&job.args)) {
                    (None, Some(key)) => api_keys::creator(conn, tenant, key).await?,
                    (asked_by, _) => asked_by,
                };
                let patched = (&version.payload, by);
                approvals::set_payload(conn, tenant, former, next, patched).await?;
                propose_again(conn, job, former, next).await?;
            }
            Some(_) if is_over => {}
            _ => return Err(changed_meanwhile()),
        }
    }
    if let Some(new) = &version.approval {
        approvals::insert(conn, tenant, job.lease.job, new).await?;
    }
    match &version.new {
        Some(new) => drafts::insert(conn, tenant, new).await?,
        None => {
            let former = version.former_approval.ok_or_else(changed_meanwhile)?;
            let base = (version.number - 1, former);
            if !drafts::supersede(conn, tenant, version.draft, base, approval).await? {
                return Err(changed_meanwhile());
            }
        }
    }
    let key = (version.draft, version.number);
    draft_versions::insert(conn, tenant, key, &version.message, &version.making).await?;
    let entry = NewHistoryEntry {
        verb: if version.number == 1 {
            HistoryVerb::Drafted
        } else {
            HistoryVerb::Revised
        },
        object_kind: ResourceKind::Draft,
        object: version.draft.0,
        job: Some(job.lease.job),
        rationale: &version.message.subject,
    };
    history::insert(conn, tenant, &entry).await
}

/// Proposes the approval again as a new version, so that a late decision on the old version does not apply.
async fn return_unchanged(
    conn: &mut PgConnection,
    job: &Job,
    approval: ApprovalId,
) -> Result<(), sqlx::Error> {
    let Some(locked) = approvals::lock(conn, job.lease.tenant, approval).await? else {
        return Ok(());
    };
    if locked.status == Status::Editing && locked.execution_job == Some(job.lease.job) {
        propose_again(conn, job, approval, locked.version + 1).await?;
    }
    Ok(())
}

async fn propose_again(
    conn: &mut PgConnection,
    job: &Job,
    approval: ApprovalId,
    version: i32,
) -> Result<(), sqlx::Error> {
    let proposed = Status::Editing
        .after(Step::EndEdit)
        .map_err(|error| sqlx::Error::Encode(error.to_string().into()))?;
    let step = (proposed, version);
    approvals::set_status(conn, job.lease.tenant, approval, step, None).await?;
    approvals::assign(conn, job.lease.tenant, approval, None).await
}

impl DraftWrites {
    /// Builds the audit entries.
    fn audit_entries(&self, job: &Job, item_id: Option<InboxItemId>) -> Vec<NewAuditEntry> {
        let entry = |action, kind, id: String, detail| {
            let mut entry = job.audit(action, kind, id).with_detail(detail);
            entry.dry_run = self.dry_run;
            entry
        };
        let DraftResult::Version(version) = &self.result else {
            let detail = Detail::new().word("outcome", self.outcome.as_str());
            let id = job.lease.job.to_string();
            let mut entries = vec![entry(
                AuditAction::DraftNotWritten,
                ResourceKind::Job,
                id,
                detail,
            )];
            if let Some(item) = item_id {
                let id = item.to_string();
                entries.push(entry(
                    AuditAction::ItemCreated,
                    ResourceKind::InboxItem,
                    id,
                    Detail::new(),
                ));
            }
            return entries;
        };
        let detail = Detail::new()
            .count("version", version.number)
            .word("origin", version.making.origin.as_str())
            .word("confidence", version.making.confidence.as_str());
        let id = version.draft.to_string();
        let mut entries = vec![entry(
            AuditAction::DraftWritten,
            ResourceKind::Draft,
            id,
            detail,
        )];
        if let Some(approval) = &version.approval {
            let detail = Detail::new()
                .word("type", approval.kind)
                .word("risk", approval.risk.as_str());
            let id = approval.id.to_string();
            entries.push(entry(
                AuditAction::ApprovalCreated,
                ResourceKind::Approval,
                id,
                detail,
            ));
        }
        entries
    }
}
