//! The draft that a user changes, locked with its approval: [`lock_draft`].

use super::ownership::{Rights, rights_of};
use crate::{
    domain::{DraftId, SeenVersions, Session},
    store::{
        approvals::{self, StoredApproval},
        drafts::{self, StoredDraft},
    },
};
use sqlx::PgConnection;

/// The draft is not the session's to change, or has changed.
#[derive(Debug, thiserror::Error)]
pub enum LockDraftError {
    /// There is none, or the session may not read it.
    #[error("there is no such draft")]
    NotFound,
    #[error("version {present} is the newest, which the caller has not seen")]
    Stale { present: i32 },
    /// It belongs to another user, who has not made this one a delegate.
    #[error("the draft belongs to another user")]
    NotYours,
    #[error("could not lock the draft")]
    Database(#[from] sqlx::Error),
}

/// Locks the approval and then the draft until the transaction ends, if its newest version was seen and the session may decide it.
pub(super) async fn lock_draft(
    conn: &mut PgConnection,
    session: &Session,
    (id, seen): (DraftId, &SeenVersions),
) -> Result<(StoredApproval, StoredDraft), LockDraftError> {
    let tenant = session.tenant;
    let found = drafts::find(conn, tenant, id)
        .await?
        .ok_or(LockDraftError::NotFound)?;
    let rights = rights_of(conn, session, found.user).await?;
    if rights == Rights::Nothing {
        return Err(LockDraftError::NotFound);
    }
    let approval = approvals::lock(conn, tenant, found.approval)
        .await?
        .ok_or(LockDraftError::NotFound)?;
    let draft = drafts::lock(conn, tenant, id)
        .await?
        .ok_or(LockDraftError::NotFound)?;
    if !seen.include(draft.version) {
        return Err(LockDraftError::Stale {
            present: draft.version,
        });
    }
    match rights {
        Rights::Decide => Ok((approval, draft)),
        Rights::Read | Rights::Nothing => Err(LockDraftError::NotYours),
    }
}
