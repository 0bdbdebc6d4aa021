//! Replacing a session's token without ending the session.
//!
//! The old token answers for a grace period, because the answer that carries the new one may be lost. If it comes back
//! for another before the first was ever used, it gets a sibling and the unused one is given up. The session's absolute
//! end stays where it is.

use super::authenticate::{Refusal, end_reused};
use super::signals::announce_revoked;
use crate::{
    domain::{
        Action, Actor, NewAuditEntry, Session, SessionToken, session::Origin, token::TokenHash,
    },
    store::{
        audit,
        session_tokens::{self, Presented},
        sessions,
    },
};
use queue::signals::notifier::Notifier;
use sqlx::{PgConnection, PgPool};

/// The session as before, with the token to use from now on.
#[derive(Debug)]
pub struct Rotated {
    pub session: Session,
    pub token: SessionToken,
}

/// The token was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The token is in its grace and its successor has been used: a second successor would fork the session.
    #[error("the token was rotated before, and its successor is in use")]
    AlreadyRotated,
    #[error("the token was refused: {}", .0.as_str())]
    Refused(Refusal),
    #[error("could not rotate the session")]
    Database(#[source] sqlx::Error),
}

/// Gives `session` a new token in place of the one presented.
///
/// # Errors
/// When the token may not be replaced, or the database refuses; then nothing was changed, except that a reused token
/// has ended the session.
pub async fn rotate_session(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    token: &SessionToken,
    origin: &Origin,
) -> Result<Rotated, RotateError> {
    let mut tx = pool.begin().await?;
    // Only now is the token judged: until here another rotation may have replaced it.
    sessions::lock(&mut tx, session.tenant, session.id).await?;
    let hash = token.hash();
    let presented = session_tokens::present(&mut tx, &hash)
        .await?
        .filter(|presented| presented.session.id == session.id)
        .ok_or(RotateError::Refused(Refusal::Unknown))?;
    if let Some(refusal) = Refusal::of(presented.standing) {
        if refusal == Refusal::Reused {
            end_reused(&mut tx, &presented.session, origin).await?;
            tx.commit().await?;
            announce_revoked(notifier, session.id);
        }
        return Err(RotateError::Refused(refusal));
    }
    make_way(&mut tx, &presented, &hash).await?;
    let token = SessionToken::generate();
    session_tokens::insert(&mut tx, session.id, presented.generation + 1, &token.hash()).await?;
    audit::insert(&mut tx, &[renewed(session, origin)]).await?;
    tx.commit().await?;
    Ok(Rotated {
        session: presented.session,
        token,
    })
}

/// Leaves the session without a token of a later generation than the presented one.
async fn make_way(
    conn: &mut PgConnection,
    presented: &Presented,
    hash: &TokenHash,
) -> Result<(), RotateError> {
    let (session, generation) = (presented.session.id, presented.generation);
    if presented.superseded {
        session_tokens::retire_unused(conn, session, generation + 1).await?;
        // A first use can slip in until the statement above: what counts is what it left.
        if session_tokens::has_heir(conn, session, generation).await? {
            return Err(RotateError::AlreadyRotated);
        }
    } else {
        session_tokens::supersede(conn, hash).await?;
        session_tokens::end_grace_before(conn, session, generation).await?;
    }
    Ok(())
}

fn renewed(session: &Session, origin: &Origin) -> NewAuditEntry {
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    NewAuditEntry::new(
        session.tenant,
        actor,
        Action::SESSION_RENEWED,
        "session",
        session.id,
    )
    .with_request(origin.request_id.as_deref())
}

impl From<sqlx::Error> for RotateError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(source)
    }
}
