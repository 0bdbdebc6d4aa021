//! Whose a draft and its approval are: [`rights_of`]. The person whose mailbox it is decides it, and those whom that person lets;
//! others read it with a right of their own.

use crate::{
    domain::{Session, UserId},
    store::delegations,
};
use sqlx::PgConnection;

/// What a session may do with a draft, its approval and their effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    Decide,
    Read,
    /// For this session it does not exist.
    Nothing,
}

/// Finds the rights of the session's user in what belongs to `owner`. What is nobody's is everybody's.
pub(crate) async fn rights_of(
    conn: &mut PgConnection,
    session: &Session,
    owner: Option<UserId>,
) -> Result<Rights, sqlx::Error> {
    let may_decide = match owner {
        Some(owner) => delegations::may_decide(conn, session.tenant, owner, session.user).await?,
        None => true,
    };
    Ok(if may_decide {
        Rights::Decide
    } else if session.reader().reads_all {
        Rights::Read
    } else {
        Rights::Nothing
    })
}
