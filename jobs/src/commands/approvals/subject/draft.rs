//! A draft goes where its approval goes: [`follow`], in the transaction that decides or carries out the approval, whose row
//! the caller holds.

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

/// The draft cannot go there.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Refused(#[from] DraftRefused),
    #[error("could not move the draft")]
    Database(#[from] sqlx::Error),
}

/// Moves the draft that this approval puts before a person. Most approvals have none: then nothing is done.
///
/// # Errors
/// If the draft's state does not allow the step.
pub async fn follow(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
    step: DraftStep,
) -> Result<(), FollowError> {
    let Some(id) = drafts::of_approval(conn, tenant, approval).await? else {
        return Ok(());
    };
    let Some(draft) = drafts::lock(conn, tenant, id).await? else {
        return Ok(());
    };
    let next = draft.status.after(step)?;
    drafts::set_status(conn, tenant, id, next).await?;
    if let Some(verb) = told(step) {
        let approval = approvals::find(conn, tenant, approval).await?;
        let told = NewHistoryEntry {
            verb,
            object_kind: "draft",
            object: id.0,
            job: approval.as_ref().map(|approval| approval.job),
            rationale: approval.as_ref().map_or("", |it| it.summary.as_str()),
        };
        history::insert(conn, tenant, &told).await?;
    }
    Ok(())
}

/// What is told of the draft itself; the rest is told of its approval.
const fn told(step: DraftStep) -> Option<&'static str> {
    match step {
        DraftStep::Succeed | DraftStep::FindSent => Some("sent"),
        DraftStep::Lose => Some("lost_sight_of"),
        DraftStep::Fail | DraftStep::FindUnsent => Some("not_sent"),
        _ => None,
    }
}

/// As [`follow`], for what has happened already: a draft that has gone elsewhere meanwhile stays there.
///
/// # Errors
/// When the database refuses.
pub async fn follow_if_it_may(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
    step: DraftStep,
) -> Result<(), sqlx::Error> {
    match follow(conn, tenant, approval, step).await {
        Ok(()) | Err(FollowError::Refused(_)) => Ok(()),
        Err(FollowError::Database(error)) => Err(error),
    }
}
