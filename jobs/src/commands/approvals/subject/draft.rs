//! Keeps a draft in step with its approval: [`sync_with_decision`], in the transaction that decides or executes the
//! approval. The caller has locked its row.

use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        ApprovalId,
        draft::{DraftRefused, DraftStep},
    },
    store::{
        approvals, drafts,
        history::{self, NewHistoryEntry},
    },
};
use base::TenantId;
use sqlx::PgConnection;

/// The draft's state does not allow the step.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Refused(#[from] DraftRefused),
    #[error("could not move the draft")]
    Database(#[from] sqlx::Error),
}

/// Takes the step with the draft of this approval; does nothing for an approval without a draft.
///
/// # Errors
/// If the draft's state does not allow the step.
pub async fn sync_with_decision(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
    step: DraftStep,
) -> Result<(), SyncError> {
    let Some(id) = drafts::of_approval(conn, tenant, approval).await? else {
        return Ok(());
    };
    let Some(draft) = drafts::lock(conn, tenant, id).await? else {
        return Ok(());
    };
    let next = draft.status.after(step)?;
    drafts::set_status(conn, tenant, id, next).await?;
    if let Some(verb) = history_verb(step) {
        let approval = approvals::find(conn, tenant, approval).await?;
        let history_entry = NewHistoryEntry {
            verb,
            object_kind: ResourceKind::Draft,
            object: id.0,
            job: approval.as_ref().map(|approval| approval.job),
            rationale: approval.as_ref().map_or("", |it| it.summary.as_str()),
        };
        history::insert(conn, tenant, &history_entry).await?;
    }
    Ok(())
}

/// The verb of the draft's own history entry; the approval's entry covers the other steps.
const fn history_verb(step: DraftStep) -> Option<HistoryVerb> {
    match step {
        DraftStep::Succeed | DraftStep::FindSent => Some(HistoryVerb::Sent),
        DraftStep::Lose => Some(HistoryVerb::Unknown),
        DraftStep::Fail | DraftStep::FindUnsent => Some(HistoryVerb::NotSent),
        _ => None,
    }
}

/// As [`sync_with_decision`], after the fact: leaves a draft that has moved on.
pub async fn sync_if_possible(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
    step: DraftStep,
) -> Result<(), sqlx::Error> {
    match sync_with_decision(conn, tenant, approval, step).await {
        Ok(()) | Err(SyncError::Refused(_)) => Ok(()),
        Err(SyncError::Database(error)) => Err(error),
    }
}
