//! Proposing a draft again that could not be sent: [`propose_draft`]. Its newest version gets another approval; no model is
//! asked.

use super::lock::{LockDraftError, lock_draft};
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        ApprovalId, AuditAction, Detail, DraftId, SeenVersions, Session,
        approval::OPEN_FOR,
        draft::{DraftRefused, DraftStep},
    },
    store::{
        approvals, audit,
        drafts::{self, StoredDraft},
        history::{self, NewHistoryEntry},
    },
};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// The draft was not proposed again.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    #[error(transparent)]
    Lock(#[from] LockDraftError),
    #[error(transparent)]
    Refused(#[from] DraftRefused),
    #[error("could not propose the draft again")]
    Database(#[from] sqlx::Error),
}

/// Proposes the newest version of a draft again after its sending failed, and returns the draft.
///
/// # Errors
/// If the version is stale, the draft is in another state, or the database refuses.
pub async fn propose_draft(
    pool: &PgPool,
    session: &Session,
    (id, seen): (DraftId, &SeenVersions),
    request_id: &str,
    at: DateTime<Utc>,
) -> Result<StoredDraft, ProposeError> {
    let tenant = session.tenant;
    let mut tx = pool.begin().await?;
    let (former, draft) = lock_draft(&mut tx, session, (id, seen)).await?;
    let status = draft.status.after(DraftStep::Repropose)?;
    let approval = ApprovalId::new();
    let opened = (approval, at + OPEN_FOR);
    approvals::insert_again(&mut tx, tenant, draft.approval, opened).await?;
    drafts::set_approval(&mut tx, tenant, id, approval).await?;
    drafts::set_status(&mut tx, tenant, id, status).await?;
    let history_entry = NewHistoryEntry {
        verb: HistoryVerb::Proposed,
        object_kind: ResourceKind::Draft,
        object: id.0,
        job: Some(former.job),
        rationale: &former.summary,
    };
    history::insert(&mut tx, tenant, &history_entry).await?;
    let entry = session
        .audit(
            AuditAction::ApprovalCreated,
            ResourceKind::Approval,
            approval,
        )
        .with_request(Some(request_id))
        .with_detail(
            Detail::new()
                .name("type", &former.kind)
                .word("risk", former.risk.as_str()),
        );
    audit::insert(&mut tx, &[entry]).await?;
    let proposed = drafts::find(&mut tx, tenant, id)
        .await?
        .ok_or(LockDraftError::NotFound)?;
    tx.commit().await?;
    Ok(proposed)
}
