//! A user has answered with another program: what was drafted for the thread is not sent. In the transaction that settles
//! the mail's triage; `worker::effects::mail` looks again just before a draft goes.

use crate::{
    domain::{
        Action, Actor, Detail, MessageId, NewAuditEntry,
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
use base::telemetry::trace_id;
use queue::{Job, run::cancel::cancel};
use sqlx::PgConnection;

/// Supersedes the unsent answers of the thread that `message` was written to. Whatever a worker is sending at this moment
/// is left to it.
///
/// # Errors
/// When the database refuses.
pub async fn supersede_drafts(
    conn: &mut PgConnection,
    job: &Job,
    message: MessageId,
) -> Result<(), sqlx::Error> {
    for overtaken in own_messages::overtaken_by(conn, job.tenant, message).await? {
        supersede(conn, job, message, overtaken).await?;
    }
    Ok(())
}

async fn supersede(
    conn: &mut PgConnection,
    job: &Job,
    message: MessageId,
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
    // With another approval it is another version by now; what is in a worker's hands is told from here at its last look.
    let Ok(next) = found.status.after(DraftStep::Supersede) else {
        return Ok(());
    };
    if found.approval != approval.id || approval.status == Status::Executing {
        return Ok(());
    }
    drafts::set_status(conn, tenant, draft, next).await?;
    let told = NewHistoryEntry {
        verb: "superseded",
        object_kind: "draft",
        object: draft.0,
        job: Some(job.lease.job),
        rationale: "You have answered with another program.",
    };
    history::insert(conn, tenant, &told).await?;
    let rejected = reject(conn, job, &approval).await?;
    let entry = |action, kind, id: String| {
        let actor = Actor::Worker(job.lease.worker);
        let mut entry = NewAuditEntry::new(tenant, actor, action, kind, id)
            .with_request(job.request_id.as_deref())
            .with_attempt(job.lease.job, job.lease.attempt)
            .with_detail(Detail::new().id("answered_by_message", message.0));
        entry.trace_id = job
            .traceparent
            .as_deref()
            .and_then(trace_id)
            .map(str::to_owned);
        entry
    };
    let mut entries = vec![entry(Action::DRAFT_SUPERSEDED, "draft", draft.to_string())];
    if rejected {
        let id = approval.id.to_string();
        entries.push(entry(Action::APPROVAL_REJECTED, "approval", id));
    }
    audit::insert(conn, &entries).await
}

/// Nobody can agree to it any more, and an agreement that was given is taken back with the job that was to send it.
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
        // One that runs already finds the approval changed.
        cancel(conn, job.tenant, sending).await?;
    }
    Ok(true)
}
