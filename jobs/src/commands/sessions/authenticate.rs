//! From a token to a session: the first step of every request.
//!
//! Usually one statement, shared with other requests: see [`SessionReader`]. Only the reuse of a rotated token costs
//! more: it ends the session, which is committed although the request is refused.

mod session_reader;

use super::signals::announce_revoked;
use crate::domain::ResourceKind;
pub use session_reader::SessionReader;

use crate::{
    domain::{
        Actor, ApiKeyId, AuditAction, Caller, NewAuditEntry, Session, SessionToken,
        session::{Origin, RevokeReason},
    },
    store::{
        api_keys, audit,
        session_tokens::{self, TokenState},
        sessions,
    },
};
use queue::signals::notifier::Notifier;
use sqlx::{Connection, PgConnection, PgPool};

/// Why a well-formed token is refused. The client learns only that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such token; nothing was changed, so that nobody ends sessions by guessing.
    Unknown,
    Revoked,
    Expired,
    Idle,
    /// The user is suspended or the tenant closed.
    Closed,
    /// This very request ended the session: see [`TokenState::Reused`].
    Reused,
    /// A newer token of the key replaced it, and its grace period is over.
    RotatedAway,
    /// The key is not valid from this address.
    WrongAddress,
}

/// The token was not exchanged for a session.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    #[error("the token was refused: {}", .0.as_str())]
    Refused(Refusal),
    #[error("could not look up the session")]
    LookUp(#[source] sqlx::Error),
    /// The next use of the token tries again.
    #[error("could not end the session of a reused token")]
    EndReused(#[source] sqlx::Error),
}

/// Returns the live session of this token.
///
/// # Errors
/// [`AuthenticateError::Refused`] refuses the token; the others mean that the database could not be asked.
pub async fn authenticate(
    pool: &PgPool,
    notifier: &Notifier,
    token: &SessionToken,
    origin: &Origin,
) -> Result<Session, AuthenticateError> {
    let mut conn = pool.acquire().await.map_err(AuthenticateError::LookUp)?;
    let presented = session_tokens::present(&mut conn, &token.hash())
        .await
        .map_err(AuthenticateError::LookUp)?
        .ok_or(AuthenticateError::Refused(Refusal::Unknown))?;
    let Some(refusal) = Refusal::of(presented.state) else {
        return Ok(presented.session);
    };
    if refusal == Refusal::Reused {
        end_reused_alone(&mut conn, &presented.session, origin)
            .await
            .map_err(AuthenticateError::EndReused)?;
        announce_revoked(notifier, presented.session.id);
    }
    Err(AuthenticateError::Refused(refusal))
}

/// Whether the session of a request that goes on, or its key, is alive now. Does not count as a use.
pub async fn is_alive(conn: &mut PgConnection, session: &Session) -> Result<bool, sqlx::Error> {
    match session.caller {
        Caller::User(_) => sessions::is_alive(conn, session.tenant, session.id).await,
        Caller::ApiKey(_) => api_keys::is_alive(conn, session.tenant, ApiKeyId(session.id.0)).await,
    }
}

async fn end_reused_alone(
    conn: &mut PgConnection,
    session: &Session,
    origin: &Origin,
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    end_reused(&mut tx, session, origin).await?;
    tx.commit().await
}

/// Ends a session because two parties hold its tokens; the owner cannot be told from the thief.
pub(super) async fn end_reused(
    conn: &mut PgConnection,
    session: &Session,
    origin: &Origin,
) -> Result<(), sqlx::Error> {
    let (tenant, user, id) = (session.tenant, session.user, session.id);
    // Of two such requests at once the second finds it ended, and there is one entry.
    if sessions::revoke(conn, tenant, user, id, RevokeReason::Reuse).await? {
        let entry = NewAuditEntry::new(
            tenant,
            Actor::Anonymous,
            AuditAction::TokenReuse,
            ResourceKind::Session,
            id,
        )
        .denied("TOKEN_REUSED")
        .with_origin(origin);
        audit::insert(conn, &[entry]).await?;
    }
    Ok(())
}

impl Refusal {
    pub(super) const fn of(state: TokenState) -> Option<Self> {
        match state {
            TokenState::Alive => None,
            TokenState::Revoked => Some(Self::Revoked),
            TokenState::Expired => Some(Self::Expired),
            TokenState::Idle => Some(Self::Idle),
            TokenState::Closed => Some(Self::Closed),
            TokenState::Reused => Some(Self::Reused),
        }
    }

    /// Returns the label for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Idle => "idle",
            Self::Closed => "closed",
            Self::Reused => "reused",
            Self::RotatedAway => "rotated_away",
            Self::WrongAddress => "wrong_address",
        }
    }
}
