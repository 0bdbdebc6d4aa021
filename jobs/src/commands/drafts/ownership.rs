//! Whose a draft is: [`may_decide`]. The person whose mailbox it is decides it, and those whom that person lets.

use crate::{
    domain::{DraftId, Session},
    store::{delegations, drafts},
};
use sqlx::PgConnection;

/// Whether the session's user may decide a draft, revise it or discard it. A draft that is nobody's is everybody's.
///
/// # Errors
/// If the database does not answer.
pub(crate) async fn may_decide(
    conn: &mut PgConnection,
    session: &Session,
    draft: DraftId,
) -> Result<bool, sqlx::Error> {
    let found = drafts::find(conn, session.tenant, draft).await?;
    match found.and_then(|draft| draft.user) {
        Some(owner) => delegations::may_decide(conn, session.tenant, owner, session.user).await,
        None => Ok(true),
    }
}
