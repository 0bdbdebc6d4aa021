//! Ending sessions: log-out, one of the list, several at once, and all of a user from the command line.
//!
//! Ending a session that has ended changes nothing and is no error.

use super::signals::announce_revoked;
use crate::domain::ResourceKind;
use crate::{
    domain::{
        Actor, AuditAction, Detail, NewAuditEntry, Session, SessionId, UserId,
        invite::{EmailAddress, TenantSlug},
        session::{Origin, RevokeReason, RevokeScope},
    },
    store::{audit, sessions, users},
};
use base::TenantId;
use queue::signals::notifier::Notifier;
use sqlx::PgPool;

/// No session was ended.
#[derive(Debug, thiserror::Error)]
pub enum EndSessionError {
    /// It is another user's, or does not exist.
    #[error("the user has no such session")]
    NotFound,
    #[error("could not end the session")]
    Database(#[source] sqlx::Error),
}

/// Ends the session of the request.
pub async fn log_out(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    origin: &Origin,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let (tenant, user, id) = (session.tenant, session.user, session.id);
    if sessions::revoke(&mut tx, tenant, user, id, RevokeReason::Logout).await? {
        audit::insert(
            &mut tx,
            &[entry(session, AuditAction::SessionLogout, id, origin)],
        )
        .await?;
        tx.commit().await?;
        announce_revoked(notifier, id);
    }
    Ok(())
}

/// Ends one session of the session's user.
///
/// # Errors
/// If it is not theirs, or the database refuses.
pub async fn end_session(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    target: SessionId,
    origin: &Origin,
) -> Result<(), EndSessionError> {
    let mut tx = pool.begin().await?;
    let (tenant, user) = (session.tenant, session.user);
    if sessions::revoke(&mut tx, tenant, user, target, RevokeReason::Revoked).await? {
        audit::insert(
            &mut tx,
            &[entry(session, AuditAction::SessionRevoked, target, origin)],
        )
        .await?;
        tx.commit().await?;
        announce_revoked(notifier, target);
    } else if !sessions::exists(&mut tx, tenant, user, target).await? {
        return Err(EndSessionError::NotFound);
    }
    Ok(())
}

/// Ends several sessions of the session's user.
pub async fn end_sessions(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    scope: RevokeScope,
    origin: &Origin,
) -> Result<(), sqlx::Error> {
    let except = match scope {
        RevokeScope::Local => return log_out(pool, notifier, session, origin).await,
        RevokeScope::Others => Some(session.id),
        RevokeScope::Global => None,
    };
    let mut tx = pool.begin().await?;
    let (tenant, user) = (session.tenant, session.user);
    let ended = sessions::revoke_all(&mut tx, tenant, user, except, RevokeReason::Revoked).await?;
    let entries: Vec<_> = ended
        .iter()
        .map(|&id| {
            entry(session, AuditAction::SessionRevoked, id, origin)
                .with_detail(Detail::new().word("scope", scope.as_str()))
        })
        .collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    for id in ended {
        announce_revoked(notifier, id);
    }
    Ok(())
}

/// Ends all sessions of a user, from the command line. `None` if there is no such user.
pub async fn end_sessions_of(
    pool: &PgPool,
    notifier: &Notifier,
    tenant: &TenantSlug,
    email: &EmailAddress,
) -> Result<Option<usize>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let Some((tenant, user)) = users::find(&mut tx, tenant.as_str(), email.expose()).await? else {
        return Ok(None);
    };
    let ended = sessions::revoke_all(&mut tx, tenant, user, None, RevokeReason::Admin).await?;
    audit::insert(&mut tx, &[by_admin(tenant, user, ended.len())]).await?;
    tx.commit().await?;
    for &id in &ended {
        announce_revoked(notifier, id);
    }
    Ok(Some(ended.len()))
}

fn by_admin(tenant: TenantId, user: UserId, ended: usize) -> NewAuditEntry {
    let ended = i64::try_from(ended).unwrap_or(i64::MAX);
    NewAuditEntry::new(
        tenant,
        Actor::Cli,
        AuditAction::SessionRevoked,
        ResourceKind::User,
        user,
    )
    .with_detail(Detail::new().count("sessions", ended))
}

fn entry(
    session: &Session,
    action: AuditAction,
    about: SessionId,
    origin: &Origin,
) -> NewAuditEntry {
    session
        .audit(action, ResourceKind::Session, about)
        .with_origin(origin)
}

impl From<sqlx::Error> for EndSessionError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(source)
    }
}
