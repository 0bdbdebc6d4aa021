//! Requesting the next version of a draft: [`begin`] blocks approval of the present version meanwhile, and revokes an
//! approval that no worker has begun. The job writes the version.

use super::lock::{LockDraftError, lock_draft};
use crate::commands::corrections;
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        AuditAction, Detail, Session,
        approval::{Status, Step},
        draft::{DraftStatus, DraftStep},
    },
    kinds::draft::Base,
    store::{
        approvals, audit, drafts,
        history::{self, NewHistoryEntry},
    },
};
use base::JobId;
use queue::{
    run::cancel::{Cancelled, cancel},
    signals::notifier::Notifier,
};
use sqlx::PgConnection;

/// The version to revise, and the job that writes the next one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RevisionRequest<'a> {
    pub(crate) base: Base,
    pub(crate) job: JobId,
    /// What the person wants changed.
    pub(crate) instructions: &'a str,
    pub(crate) request_id: &'a str,
}

/// The job that was to send the present version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoppedSend {
    Ended(JobId),
    /// It runs: its worker is asked to stop.
    CancelRequested(JobId),
}

/// No revision was requested.
#[derive(Debug, thiserror::Error)]
pub enum ReviseError {
    #[error(transparent)]
    Lock(#[from] LockDraftError),
    #[error("the draft is {0}")]
    NotReady(DraftStatus),
    /// A worker is sending it, or another revision is running.
    #[error("its approval is {0}")]
    Decided(Status),
    #[error("could not ask for the next version")]
    Database(#[from] sqlx::Error),
}

/// Whether the session may revise this version, for a dry run: it shows the draft's words, but writes nothing.
pub(crate) async fn check(
    conn: &mut PgConnection,
    session: &Session,
    Base { draft_id, version }: Base,
) -> Result<(), ReviseError> {
    lock_draft(conn, session, (draft_id, &version.into())).await?;
    Ok(())
}

/// Locks the approval first, then the draft, as every writer does. Returns the job that was to send the present
/// version, if there was one.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    session: &Session,
    asked: RevisionRequest<'_>,
) -> Result<Option<StoppedSend>, ReviseError> {
    let tenant = session.tenant;
    let Base { draft_id, version } = asked.base;
    let (approval, draft) = lock_draft(conn, session, (draft_id, &version.into())).await?;
    let agreed = approval.status == Status::Approved;
    let back = match agreed {
        true => draft.status.after(DraftStep::Cancel),
        false => Ok(draft.status),
    };
    let ready = back.and_then(|status| status.after(DraftStep::Revise));
    let ready = ready.map_err(|_| ReviseError::NotReady(draft.status))?;
    corrections::of_draft(conn, session, &draft, Some(asked.instructions)).await?;
    let mut stopped = None;
    match approval.status {
        Status::Proposed | Status::Approved => {
            let open = match agreed {
                true => approval.status.after(Step::Revoke),
                false => Ok(approval.status),
            };
            let editing = open
                .and_then(|status| status.after(Step::BeginEdit))
                .map_err(|refused| ReviseError::Decided(refused.status))?;
            // An approval of the former version must not reach the next one.
            let step = (editing, approval.version + i32::from(agreed));
            approvals::set_status(conn, tenant, approval.id, step, Some(session.user)).await?;
            approvals::assign(conn, tenant, approval.id, Some(asked.job)).await?;
            drafts::set_status(conn, tenant, draft_id, ready).await?;
            if let (true, Some(sending)) = (agreed, approval.execution_job) {
                stopped = StoppedSend::stop(conn, session, sending).await?;
            }
        }
        // Its approval has ended: the next version gets a new one.
        Status::Rejected | Status::Expired | Status::Failed | Status::Undone => {}
        Status::Editing | Status::Executing | Status::Executed | Status::Undoing => {
            return Err(ReviseError::Decided(approval.status));
        }
    }
    let history_entry = NewHistoryEntry {
        verb: HistoryVerb::RevisionRequested,
        object_kind: ResourceKind::Draft,
        object: draft_id.0,
        job: Some(asked.job),
        rationale: &approval.summary,
    };
    history::insert(conn, tenant, &history_entry).await?;
    let action = AuditAction::DraftRevisionRequested;
    let entry = session
        .audit(action, ResourceKind::Draft, draft_id)
        .with_request(Some(asked.request_id))
        .with_detail(
            Detail::new()
                .count("base_version", version)
                .id("by_job", asked.job)
                .flag("approval_revoked", agreed),
        );
    audit::insert(conn, &[entry]).await?;
    Ok(stopped)
}

impl StoppedSend {
    async fn stop(
        conn: &mut PgConnection,
        session: &Session,
        job: JobId,
    ) -> Result<Option<Self>, sqlx::Error> {
        // A worker that has the job but not yet the approval finds the approval changed.
        Ok(match cancel(conn, session.tenant, job).await? {
            Cancelled::Now => Some(Self::Ended(job)),
            Cancelled::Requested => Some(Self::CancelRequested(job)),
            Cancelled::AlreadyEnded(_) | Cancelled::NotFound => None,
        })
    }

    /// Notifies other processes; call it after the commit.
    pub(crate) fn notify(self, notifier: &Notifier) {
        match self {
            Self::Ended(job) => notifier.job_finished(job),
            Self::CancelRequested(job) => notifier.cancel_requested(job),
        }
    }
}
