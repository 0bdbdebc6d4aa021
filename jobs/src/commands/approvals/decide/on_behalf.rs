//! In whose name an approved action is executed: [`user_of`]. Their accounts, calendar and time zone are used; the person who
//! approved it is in `decided_by`. Who may change its words: [`may_write`].

use crate::{
    domain::{Session, UserId, action::ActionType},
    store::{approvals::StoredApproval, blocks, delegations, drafts, triage_results},
};
use sqlx::PgConnection;

/// Finds the user whose draft it sends or whose block it books, else the one who asked for it, else the one whose mailbox its
/// email arrived in. An action without an owner is executed in the name of the person who decides.
pub(super) async fn user_of(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
) -> Result<UserId, sqlx::Error> {
    let tenant = session.tenant;
    if let Some(id) = drafts::of_approval(conn, tenant, present.id).await?
        && let Some(owner) = drafts::find(conn, tenant, id)
            .await?
            .and_then(|draft| draft.user)
    {
        return Ok(owner);
    }
    if let Some((owner, _)) = blocks::of_approval(conn, tenant, present.id).await? {
        return Ok(owner);
    }
    if let Some(user) = present.requested_by {
        return Ok(user);
    }
    let owner = match present.message {
        Some(message) => triage_results::owner_of(conn, tenant, message).await?,
        None => None,
    };
    Ok(owner.unwrap_or(session.user))
}

/// Whether the session's user may change the text of the proposed action. An email speaks for the user whose account it leaves
/// from: others approve it as it is, and only their delegates change its words.
pub(super) async fn may_write(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
) -> Result<bool, sqlx::Error> {
    let kind = ActionType::parse(&present.kind);
    if !kind.is_some_and(|kind| kind.spec().executor.is_message()) {
        return Ok(true);
    }
    let owner = user_of(conn, session, present).await?;
    delegations::may_decide(conn, session.tenant, owner, session.user).await
}
