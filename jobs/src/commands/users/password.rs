//! A user's own password: [`confirm_password`] before a change that concerns access, and [`change_password`]. With a second
//! factor both ask for its code too: a stolen token and a stolen password are not enough.
//!
//! Guesses are counted per user, apart from those at the log-in: a stolen token must not become a stolen password, and
//! must not lock its owner out of the log-in either. Wrong codes count to the limit of a day as well, as those of a log-in do.

use super::second_factor::{CheckError, CodeCheck, check};
use crate::{
    commands::sessions::{
        code_guesses,
        hashing::{HashingError, Verifier},
        signals::announce_revoked,
        unchanged::begin_if_unchanged,
    },
    domain::{
        AuditAction, Detail, ResourceKind, Session,
        password::{NewPassword, Verified, WeakPassword},
        session::{Origin, RevokeReason},
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

/// What a user types to prove who they are.
#[derive(Clone, Debug)]
pub struct Proof {
    pub password: SecretString,
    /// Of the second factor, for those who have one.
    pub code: Option<SecretString>,
}

/// The password was not accepted, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("the password is wrong")]
    Wrong,
    #[error("a code of the second factor must come with the password")]
    SecondFactorRequired,
    #[error("the code of the second factor is wrong or was used before")]
    WrongCode,
    #[error("too many passwords or codes were wrong; the next may be tried in {} s", retry_after.as_secs())]
    Throttled { retry_after: Duration },
    #[error("the new password is too easy to guess")]
    Weak(#[from] WeakPassword),
    #[error("could not compare or hash the password")]
    Hashing(#[from] HashingError),
    #[error("could not compare the code")]
    Code(#[from] CheckError),
    #[error("could not write the password")]
    Database(#[from] sqlx::Error),
}

/// Makes the session fresh for ten minutes, if this proves its user.
///
/// # Errors
/// See [`PasswordError`]; a wrong password or code is audited.
pub async fn confirm_password(
    pool: &PgPool,
    verifier: Verifier<'_>,
    session: &Session,
    proof: Proof,
    request_id: &str,
) -> Result<(), PasswordError> {
    verify(pool, verifier, session, proof, request_id).await?;
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
/// See [`PasswordError`]; a wrong current password or code is audited.
pub async fn change_password(
    pool: &PgPool,
    notifier: &Notifier,
    verifier: Verifier<'_>,
    session: &Session,
    current: Proof,
    new: NewPassword,
    request_id: &str,
) -> Result<(), PasswordError> {
    let password = current.password.clone();
    let verified = verify(pool, verifier, session, current, request_id).await?;
    let mut conn = pool.acquire().await?;
    let account = users::account_name(&mut conn, session.tenant, session.user).await?;
    drop(conn);
    let hash = verifier
        .hasher
        .hash(new.not_about(&account.email, &account.slug)?)
        .await?;
    let (tenant, user) = (session.tenant, session.user);
    let hasher = verifier.hasher;
    let (mut tx, _) =
        begin_if_unchanged::<PasswordError>(pool, hasher, (tenant, user), verified, &password)
            .await?
            .ok_or(PasswordError::Wrong)?;
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

/// Compares the password and the code under the throttle, and returns the hash that the password has. Holds no connection
/// while it hashes.
async fn verify(
    pool: &PgPool,
    verifier: Verifier<'_>,
    session: &Session,
    typed: Proof,
    request_id: &str,
) -> Result<String, PasswordError> {
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
    let verified = match verifier.hasher.verify(stored.clone(), typed.password).await {
        Ok(verified) => verified,
        Err(error) => {
            let mut conn = pool.acquire().await?;
            login_failures::unbook(&mut conn, &[subject], at).await?;
            return Err(error.into());
        }
    };
    let failed = |code: &'static str| {
        session
            .audit(AuditAction::LoginFail, ResourceKind::Session, session.id)
            .failed(code)
            .with_request(Some(request_id))
            .with_detail(Detail::new().count("failures", recent.failures))
    };
    let mut tx = pool.begin().await?;
    let (Some(stored), Verified::Right | Verified::RightButOutdated) = (stored, verified) else {
        audit::insert(&mut tx, &[failed("WRONG_PASSWORD")]).await?;
        tx.commit().await?;
        return Err(PasswordError::Wrong);
    };
    let account = (session.tenant, session.user);
    let origin = Origin {
        request_id: Some(request_id.to_owned()),
        client_request_id: session.client_request_id.clone(),
        ..Origin::default()
    };
    let code = typed.code.as_ref();
    users::lock(&mut tx, session.tenant, session.user).await?;
    if let Some(retry_after) = code_guesses::refused_for(&mut tx, session.user, code).await? {
        login_failures::unbook(&mut tx, &[subject], at).await?;
        tx.commit().await?;
        return Err(PasswordError::Throttled { retry_after });
    }
    let refused = match check(&mut tx, verifier.keys, account, code, &origin).await? {
        CodeCheck::Passed => {
            login_failures::forget(&mut tx, subject).await?;
            None
        }
        CodeCheck::Missing => {
            // The next request brings the code: nobody has guessed yet.
            login_failures::unbook(&mut tx, &[subject], at).await?;
            Some(PasswordError::SecondFactorRequired)
        }
        CodeCheck::Wrong => {
            code_guesses::count(&mut tx, account, code, &origin).await?;
            audit::insert(&mut tx, &[failed("WRONG_CODE")]).await?;
            Some(PasswordError::WrongCode)
        }
    };
    tx.commit().await?;
    refused.map_or(Ok(stored), Err)
}
