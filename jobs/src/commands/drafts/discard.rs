//! A person does not want a draft: it is never sent, and its approval is rejected.

use super::lock::{LockDraftError, lock_draft};
use crate::commands::corrections;
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        AuditAction, Detail, DraftId, SeenVersions, Session,
        approval::{Status, Step},
        draft::{DraftRefused, DraftStep},
    },
    store::{
        approvals, audit,
        drafts::{self, StoredDraft},
        history::{self, NewHistoryEntry},
    },
};
use sqlx::PgPool;

/// The draft was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DiscardError {
    #[error(transparent)]
    Lock(#[from] LockDraftError),
    #[error(transparent)]
    Refused(#[from] DraftRefused),
    /// It is approved, or a revision is running: revoke that first.
    #[error("its approval is {0}")]
    Decided(Status),
    #[error("could not discard the draft")]
    Database(#[from] sqlx::Error),
}

/// Discards a draft and returns it.
///
/// # Errors
/// If the version is stale, the state does not allow it, or the database refuses.
pub async fn discard_draft(
    pool: &PgPool,
    session: &Session,
    (id, seen): (DraftId, &SeenVersions),
    request_id: &str,
) -> Result<StoredDraft, DiscardError> {
    let tenant = session.tenant;
    let mut tx = pool.begin().await?;
    let (approval, draft) = lock_draft(&mut tx, session, (id, seen)).await?;
    let status = draft.status.after(DraftStep::Discard)?;
    match approval.status {
        Status::Proposed => {
            let rejected = approval
                .status
                .after(Step::Reject)
                .map_err(|refused| DiscardError::Decided(refused.status))?;
            let step = (rejected, approval.version);
            approvals::set_status(&mut tx, tenant, approval.id, step, Some(session.user)).await?;
        }
        Status::Rejected | Status::Expired | Status::Failed | Status::Undone => {}
        Status::Editing
        | Status::Approved
        | Status::Executing
        | Status::Executed
        | Status::Undoing => return Err(DiscardError::Decided(approval.status)),
    }
    drafts::set_status(&mut tx, tenant, id, status).await?;
    corrections::of_draft(&mut tx, session, &draft, None).await?;
    let history_entry = NewHistoryEntry {
        verb: HistoryVerb::Discarded,
        object_kind: ResourceKind::Draft,
        object: id.0,
        job: Some(approval.job),
        rationale: &approval.summary,
    };
    history::insert(&mut tx, tenant, &history_entry).await?;
    let entry = session
        .audit(AuditAction::DraftDiscarded, ResourceKind::Draft, id)
        .with_request(Some(request_id))
        .with_detail(Detail::new().count("version", draft.version));
    audit::insert(&mut tx, &[entry]).await?;
    let discarded = drafts::find(&mut tx, tenant, id)
        .await?
        .ok_or(LockDraftError::NotFound)?;
    tx.commit().await?;
    Ok(discarded)
}
