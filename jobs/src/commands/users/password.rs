//! A user's own password: [`confirm_password`] before a change that concerns access, and [`change_password`].
//!
//! Guesses are counted per user, apart from those at the log-in: a stolen token must not become a stolen password, and
//! must not lock its owner out of the log-in either.

use crate::{
    commands::sessions::{
        hashing::{HashingError, PasswordHasher},
        signals::announce_revoked,
    },
    domain::{
        AuditAction, Detail, ResourceKind, Session,
        password::{NewPassword, Verified, WeakPassword},
        session::RevokeReason,
    },
    store::{
        audit,
        login_failures::{self, Subject},
        sessions, users,
    },
};
use queue::signals::notifier::Notifier;
use secrecy::SecretString;
use sqlx::PgPool;
use std::time::Duration;

/// Failures older than this are forgiven.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Failures of one user within the window.
const LIMIT: i64 = 10;

/// The password was not accepted, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("the password is wrong")]
    Wrong,
    #[error("too many passwords were wrong; the next may be tried in {} s", retry_after.as_secs())]
    Throttled { retry_after: Duration },
    #[error("the new password is too easy to guess")]
    Weak(#[from] WeakPassword),
    #[error("could not compare or hash the password")]
    Hashing(#[from] HashingError),
    #[error("could not write the password")]
    Database(#[from] sqlx::Error),
}

/// Makes the session fresh for ten minutes, if this is its user's password.
///
/// # Errors
/// See [`PasswordError`]; a wrong password is audited.
pub async fn confirm_password(
    pool: &PgPool,
    hasher: &PasswordHasher,
    session: &Session,
    password: SecretString,
    request_id: &str,
) -> Result<(), PasswordError> {
    verify(pool, hasher, session, password, request_id).await?;
    let mut tx = pool.begin().await?;
    sessions::set_authenticated(&mut tx, session.tenant, session.id).await?;
    let entry = session
        .audit(
            AuditAction::PasswordConfirmed,
            ResourceKind::Session,
            session.id,
        )
        .with_request(Some(request_id));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(())
}

/// Changes the password of the session's user, and ends their other sessions.
///
/// # Errors
/// See [`PasswordError`]; a wrong current password is audited.
pub async fn change_password(
    pool: &PgPool,
    notifier: &Notifier,
    hasher: &PasswordHasher,
    session: &Session,
    current: SecretString,
    new: NewPassword,
    request_id: &str,
) -> Result<(), PasswordError> {
    verify(pool, hasher, session, current, request_id).await?;
    let mut conn = pool.acquire().await?;
    let (email, slug) = users::address_and_tenant(&mut conn, session.tenant, session.user).await?;
    drop(conn);
    let hash = hasher.hash(new.not_about(&email, &slug)?).await?;
    let mut tx = pool.begin().await?;
    let (tenant, user) = (session.tenant, session.user);
    users::set_password(&mut tx, tenant, user, &hash).await?;
    let others = Some(session.id);
    let ended = sessions::revoke_all(&mut tx, tenant, user, others, RevokeReason::Password).await?;
    sessions::set_authenticated(&mut tx, tenant, session.id).await?;
    let count = i64::try_from(ended.len()).unwrap_or(i64::MAX);
    let entry = session
        .audit(AuditAction::PasswordChanged, ResourceKind::User, user)
        .with_request(Some(request_id))
        .with_detail(Detail::new().count("sessions_ended", count));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    for ended in ended {
        announce_revoked(notifier, ended);
    }
    Ok(())
}

/// Compares the password under the throttle. Holds no connection while it hashes.
async fn verify(
    pool: &PgPool,
    hasher: &PasswordHasher,
    session: &Session,
    typed: SecretString,
    request_id: &str,
) -> Result<(), PasswordError> {
    let subject = Subject::confirmation(session.user);
    let mut conn = pool.acquire().await?;
    // Counted before it is checked, so that parallel guesses cannot overtake the count.
    let at = login_failures::book(&mut conn, &[subject]).await?;
    let recent = login_failures::recent(&mut conn, subject, WINDOW, LIMIT).await?;
    if recent.failures > LIMIT {
        login_failures::unbook(&mut conn, &[subject], at).await?;
        return Err(PasswordError::Throttled {
            retry_after: recent.first_leaves_in,
        });
    }
    let stored = users::password_hash(&mut conn, session.tenant, session.user).await?;
    drop(conn);
    let verified = match hasher.verify(stored, typed).await {
        Ok(verified) => verified,
        Err(error) => {
            let mut conn = pool.acquire().await?;
            login_failures::unbook(&mut conn, &[subject], at).await?;
            return Err(error.into());
        }
    };
    let mut conn = pool.acquire().await?;
    if verified == Verified::Wrong {
        let entry = session
            .audit(AuditAction::LoginFail, ResourceKind::Session, session.id)
            .failed("WRONG_PASSWORD")
            .with_request(Some(request_id))
            .with_detail(Detail::new().count("failures", recent.failures));
        audit::insert(&mut conn, &[entry]).await?;
        return Err(PasswordError::Wrong);
    }
    login_failures::forget(&mut conn, subject).await?;
    Ok(())
}
