//! Proposing a draft again that could not be sent: [`propose_draft`]. Its newest version gets another approval; no model is
//! asked.

use super::ownership::may_decide;
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        ApprovalId, AuditAction, Detail, DraftId, Session,
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
    #[error("there is no such draft")]
    NotFound,
    #[error("version {present} is the newest, not {asked}")]
    Stale { asked: i32, present: i32 },
    #[error(transparent)]
    Refused(#[from] DraftRefused),
    /// It belongs to another user, who has not made this one a delegate.
    #[error("the draft belongs to another user")]
    NotYours,
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
    (id, version): (DraftId, i32),
    request_id: &str,
    at: DateTime<Utc>,
) -> Result<StoredDraft, ProposeError> {
    let tenant = session.tenant;
    let mut tx = pool.begin().await?;
    let seen = drafts::find(&mut tx, tenant, id)
        .await?
        .ok_or(ProposeError::NotFound)?;
    let former = approvals::lock(&mut tx, tenant, seen.approval)
        .await?
        .ok_or(ProposeError::NotFound)?;
    let draft = drafts::lock(&mut tx, tenant, id)
        .await?
        .ok_or(ProposeError::NotFound)?;
    if draft.version != version {
        return Err(ProposeError::Stale {
            asked: version,
            present: draft.version,
        });
    }
    if !may_decide(&mut tx, session, id).await? {
        return Err(ProposeError::NotYours);
    }
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
        .ok_or(ProposeError::NotFound)?;
    tx.commit().await?;
    Ok(proposed)
}
