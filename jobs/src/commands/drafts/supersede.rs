//! Superseding drafts after the user replied with another program. Runs in the transaction that settles the reply's
//! triage; `worker::effects` checks again just before a draft is sent.

use crate::commands::audit::JobAudit;
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        AuditAction, Detail, MessageId,
        approval::{Status, Step},
        draft::DraftStep,
    },
    store::{
        approvals::{self, StoredApproval},
        audit, drafts,
        history::{self, NewHistoryEntry},
        own_messages::{self, Overtaken},
    },
};
use queue::{Job, run::cancel::cancel};
use sqlx::PgConnection;

/// Supersedes the unsent replies in the thread of `message`. Leaves those that a worker is sending.
///
/// # Errors
/// If the database refuses.
pub async fn supersede_drafts(
    conn: &mut PgConnection,
    job: &Job,
    message: MessageId,
) -> Result<(), sqlx::Error> {
    for overtaken in own_messages::overtaken_by(conn, job.tenant, message).await? {
        let why = "You have answered with another program.";
        supersede(conn, job, (message, why), overtaken).await?;
    }
    Ok(())
}

/// Supersedes one draft because of this message, unless a worker is sending it or it was decided.
///
/// # Errors
/// If the database refuses.
pub(in crate::commands) async fn supersede(
    conn: &mut PgConnection,
    job: &Job,
    (message, why): (MessageId, &str),
    overtaken: Overtaken,
) -> Result<(), sqlx::Error> {
    let tenant = job.tenant;
    let Overtaken { draft, approval } = overtaken;
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
        job: Some(job.lease.job),
        rationale: why,
    };
    history::insert(conn, tenant, &history_entry).await?;
    let rejected = reject(conn, job, &approval).await?;
    let entry = |action, kind, id: String| {
        job.audit(action, kind, id)
            .with_detail(Detail::new().id("answered_by_message", message.0))
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
    job: &Job,
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
    approvals::set_status(conn, job.tenant, approval.id, step, None).await?;
    approvals::assign(conn, job.tenant, approval.id, None).await?;
    if let (Status::Approved, Some(sending)) = (approval.status, approval.execution_job) {
        // A job that runs already finds the approval changed.
        cancel(conn, job.tenant, sending).await?;
    }
    Ok(true)
}
