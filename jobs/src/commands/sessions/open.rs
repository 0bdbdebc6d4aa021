//! Opening a session: the last step of a log-in, of an accepted invite, and of `cargo dev`.
//!
//! Runs in the caller's transaction. Does not check who the user is: the caller has just done that.

use crate::domain::ResourceKind;
use crate::{
    domain::{
        Actor, AuditAction, Detail, NewAuditEntry, Session, SessionId, SessionToken,
        session::MAX_SESSIONS,
    },
    store::{audit, session_tokens, sessions, users},
};
use sqlx::PgConnection;

pub use crate::store::sessions::NewSession;

/// A new session, and the only copy of its token.
#[derive(Debug)]
pub struct Opened {
    pub session: Session,
    pub token: SessionToken,
    /// Older sessions that were ended to make room. Notify their streams with `Notifier::session_revoked`, after the
    /// commit.
    pub ended: Vec<SessionId>,
}

/// Opens a session with its first token, and ends the user's oldest if there are now too many.
pub async fn open_session(
    conn: &mut PgConnection,
    new: &NewSession,
) -> Result<Opened, sqlx::Error> {
    users::lock(conn, new.tenant, new.user).await?;
    let session = sessions::insert(conn, new).await?;
    let token = SessionToken::generate();
    session_tokens::insert(conn, session.id, 1, &token.hash()).await?;
    let ended = sessions::revoke_excess(conn, new.tenant, new.user, MAX_SESSIONS).await?;

    let entry = |action, about: SessionId| {
        let actor = Actor::User {
            user: new.user,
            session: Some(session.id),
        };
        NewAuditEntry::new(new.tenant, actor, action, ResourceKind::Session, about)
            .with_origin(&new.origin)
    };
    let mut entries = vec![
        entry(AuditAction::SessionCreated, session.id)
            .with_detail(Detail::new().word("method", new.auth_method.as_str())),
    ];
    entries.extend(
        ended
            .iter()
            .map(|&id| entry(AuditAction::ExcessSessions, id)),
    );
    audit::insert(conn, &entries).await?;
    Ok(Opened {
        session,
        token,
        ended,
    })
}
