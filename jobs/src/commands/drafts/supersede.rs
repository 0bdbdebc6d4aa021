//! Superseding drafts after the user replied with another program. Runs in the transaction that settles the reply's
//! triage; `worker::effects` checks again just before a draft is sent.

use crate::commands::audit::JobAudit;
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        AuditAction, Detail, MessageId, NewAuditEntry,
        approval::{Status, Step},
        draft::DraftStep,
    },
    store::{
        approvals::{self, StoredApproval},
        audit, drafts,
        history::{self, NewHistoryEntry},
        own_messages::{self, SupersededDraft},
    },
};
use base::{JobId, TenantId};
use queue::{Job, run::cancel::cancel};
use sqlx::PgConnection;

/// Supersedes the unsent replies in the thread of `message`. Leaves those that a worker is sending.
pub async fn supersede_drafts(
    conn: &mut PgConnection,
    job: &Job,
    message: MessageId,
) -> Result<(), sqlx::Error> {
    let reason = Reason {
        tenant: job.lease.tenant,
        job: Some(job.lease.job),
        message: Some(message),
        why: "You have answered with another program.",
        entry: &|action, kind, id| job.audit(action, kind, id),
    };
    for superseded in own_messages::superseded_by(conn, job.lease.tenant, message).await? {
        supersede(conn, &reason, superseded).await?;
    }
    Ok(())
}

/// Why a draft is superseded, and who records it.
pub(in crate::commands) struct Reason<'a> {
    pub(in crate::commands) tenant: TenantId,
    pub(in crate::commands) job: Option<JobId>,
    /// The stored email that ended the wait for the draft, if one did.
    pub(in crate::commands) message: Option<MessageId>,
    /// For its user.
    pub(in crate::commands) why: &'a str,
    /// Makes the audit entry of the caller's actor.
    pub(in crate::commands) entry:
        &'a (dyn Fn(AuditAction, ResourceKind, String) -> NewAuditEntry + Sync),
}

/// Supersedes one draft, unless a worker is sending it or it was decided.
pub(in crate::commands) async fn supersede(
    conn: &mut PgConnection,
    reason: &Reason<'_>,
    superseded: SupersededDraft,
) -> Result<(), sqlx::Error> {
    let tenant = reason.tenant;
    let SupersededDraft { draft, approval } = superseded;
    let Some(approval) = approvals::lock(conn, tenant, approval).await? else {
        return Ok(());
    };
    let Some(found) = drafts::lock(conn, tenant, draft).await? else {
        return Ok(());
    };
    // With another approval it is another version by now; a worker that is sending it checks once more before it sends.
    let Ok(next) = found.status.after(DraftStep::Supersede) else {
        return Ok(());
    };
    if found.approval != approval.id || approval.status == Status::Executing {
        return Ok(());
    }
    drafts::set_status(conn, tenant, draft, next).await?;
    let history_entry = NewHistoryEntry {
        verb: HistoryVerb::Superseded,
        object_kind: ResourceKind::Draft,
        object: draft.0,
        job: reason.job,
        rationale: reason.why,
    };
    history::insert(conn, tenant, &history_entry).await?;
    let rejected = reject(conn, tenant, &approval).await?;
    let entry = |action, kind, id: String| {
        let entry = (reason.entry)(action, kind, id);
        match reason.message {
            Some(message) => entry.with_detail(Detail::new().id("answered_by_message", message.0)),
            None => entry,
        }
    };
    let mut entries = vec![entry(
        AuditAction::DraftSuperseded,
        ResourceKind::Draft,
        draft.to_string(),
    )];
    if rejected {
        let id = approval.id.to_string();
        entries.push(entry(
            AuditAction::ApprovalRejected,
            ResourceKind::Approval,
            id,
        ));
    }
    audit::insert(conn, &entries).await
}

/// Rejects the approval, or revokes it together with the job that was to send the draft.
async fn reject(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: &StoredApproval,
) -> Result<bool, sqlx::Error> {
    let back = match approval.status {
        Status::Approved => approval.status.after(Step::Revoke),
        Status::Editing => approval.status.after(Step::EndEdit),
        status => Ok(status),
    };
    let Ok(rejected) = back.and_then(|status| status.after(Step::Reject)) else {
        return Ok(false);
    };
    let step = (rejected, approval.version + 1);
    approvals::set_status(conn, tenant, approval.id, step, None).await?;
    approvals::assign(conn, tenant, approval.id, None).await?;
    if let (Status::Approved, Some(sending)) = (approval.status, approval.execution_job) {
        // A job that runs already finds the approval changed.
        cancel(conn, tenant, sending).await?;
    }
    Ok(true)
}
