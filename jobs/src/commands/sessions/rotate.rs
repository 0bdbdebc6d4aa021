//! Rotating a session's token without ending the session.
//!
//! The old token stays valid for a grace period, because the reply with the new one may be lost. If it is rotated again
//! before the new token was used, it gets another new token, and the unused one is revoked. The session's absolute
//! expiry does not move.

use super::authenticate::{Refusal, end_reused};
use super::signals::announce_revoked;
use crate::domain::ResourceKind;
use crate::{
    domain::{
        AuditAction, NewAuditEntry, Session, SessionToken, session::Origin, token::TokenHash,
    },
    store::{
        audit,
        session_tokens::{self, Presented},
        sessions,
    },
};
use queue::signals::notifier::Notifier;
use sqlx::{PgConnection, PgPool};

/// The session as before, with its new token.
#[derive(Debug)]
pub struct Rotated {
    pub session: Session,
    pub token: SessionToken,
}

/// The token was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The token is in its grace period and its successor is in use: a second successor would fork the session.
    #[error("the token was rotated before, and its successor is in use")]
    AlreadyRotated,
    #[error("the token was refused: {}", .0.as_str())]
    Refused(Refusal),
    #[error("could not rotate the session")]
    Database(#[source] sqlx::Error),
}

/// Replaces the presented token of `session`.
///
/// # Errors
/// If the token may not be rotated, or the database refuses; then nothing was changed, except that a reused token has
/// ended the session.
pub async fn rotate_session(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    token: &SessionToken,
    origin: &Origin,
) -> Result<Rotated, RotateError> {
    let mut tx = pool.begin().await?;
    // Judges the token only now, under the lock: another rotation may have replaced it until here.
    sessions::lock(&mut tx, session.tenant, session.id).await?;
    let hash = token.hash();
    let presented = session_tokens::present(&mut tx, &hash)
        .await?
        .filter(|presented| presented.session.id == session.id)
        .ok_or(RotateError::Refused(Refusal::Unknown))?;
    if let Some(refusal) = Refusal::of(presented.state) {
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

/// Deletes tokens of later generations than the presented one.
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
    session
        .audit(
            AuditAction::SessionRenewed,
            ResourceKind::Session,
            session.id,
        )
        .with_origin(origin)
}

impl From<sqlx::Error> for RotateError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(source)
    }
}
