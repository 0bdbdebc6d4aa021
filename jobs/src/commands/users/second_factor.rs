//! A user's second factor: [`enrol`] gives the secret, [`confirm`] activates it with a first code, [`remove`] and [`reset`]
//! delete it. [`check`] decides about the code of a log-in.
//!
//! Whether a user needs one is the tenant's setting `require_second_factor`; the session says whether it is met.

mod check;

pub use check::{CheckError, CodeCheck, check};

use super::manage::{ManageUserError, may_grant};
use crate::{
    commands::{actor::TenantActor, sessions::signals::announce_revoked},
    domain::{
        AuditAction, Detail, NewAuditEntry, ResourceKind, Session, UserId,
        second_factor::{RECOVERY_CODES, RecoveryCode, TotpSecret, TypedCode},
        session::RevokeReason,
    },
    secrets::{KeyRing, SecretRow},
    store::{audit, second_factors, sessions, users},
};
use base::TenantId;
use check::step_of;
use queue::signals::notifier::Notifier;
use secrecy::SecretString;
use sqlx::PgPool;

/// A factor that is being enrolled, and the only copy of its secret.
#[derive(Debug)]
pub struct Enrolment {
    pub secret: TotpSecret,
    /// For the app, as a QR code.
    pub uri: SecretString,
}

/// The second factor was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SecondFactorError {
    #[error("the user has a second factor")]
    Active,
    #[error("the user is not enrolling a second factor")]
    NotEnrolling,
    #[error("the code is not one of the app's at this time")]
    WrongCode,
    #[error("could not check the code")]
    Check(#[from] CheckError),
    #[error("could not write the second factor")]
    Database(#[from] sqlx::Error),
}

/// Creates the secret of a new factor, in place of one that was never confirmed. It protects nothing yet.
///
/// # Errors
/// [`SecondFactorError::Active`] if the user has a factor; they remove it first.
pub async fn enrol(
    pool: &PgPool,
    keys: &KeyRing,
    session: &Session,
    request_id: &str,
) -> Result<Enrolment, SecondFactorError> {
    let (tenant, user) = (session.tenant, session.user);
    let secret = TotpSecret::generate();
    let sealed = keys.seal(place(tenant, user), secret.text());
    let mut tx = pool.begin().await?;
    if !second_factors::put(&mut tx, tenant, user, &sealed).await? {
        return Err(SecondFactorError::Active);
    }
    let account = users::account_name(&mut tx, tenant, user).await?;
    let entry = own_entry(session, AuditAction::SecondFactorEnrolled, request_id);
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    let uri = secret.uri(&account.slug, &account.email);
    Ok(Enrolment { secret, uri })
}

/// Activates the factor with a code of the app, ends the user's other sessions, and returns the recovery codes.
///
/// Guesses are not slowed down: who has the session was shown the secret.
pub async fn confirm(
    pool: &PgPool,
    notifier: &Notifier,
    keys: &KeyRing,
    session: &Session,
    typed: &SecretString,
    request_id: &str,
) -> Result<Vec<RecoveryCode>, SecondFactorError> {
    let (tenant, user) = (session.tenant, session.user);
    let mut tx = pool.begin().await?;
    // A log-in that found no factor holds this lock until its session can be seen, and ended.
    users::lock(&mut tx, tenant, user).await?;
    let factor = second_factors::find(&mut tx, tenant, user)
        .await?
        .filter(|factor| factor.confirmed_at.is_none())
        .ok_or(SecondFactorError::NotEnrolling)?;
    let Some(TypedCode::App(code)) = TypedCode::parse(typed) else {
        return Err(SecondFactorError::WrongCode);
    };
    let step = step_of(keys, (tenant, user), &factor, &code)?;
    let step = step.ok_or(SecondFactorError::WrongCode)?;
    let codes: Vec<_> = (0..RECOVERY_CODES)
        .map(|_| RecoveryCode::generate())
        .collect();
    let hashes: Vec<_> = codes.iter().map(|code| code.hash().to_vec()).collect();
    if !second_factors::confirm(&mut tx, tenant, user, &factor.secret, step, &hashes).await? {
        return Err(SecondFactorError::NotEnrolling);
    }
    let others = Some(session.id);
    let ended = sessions::revoke_all(&mut tx, tenant, user, others, RevokeReason::SecondFactor);
    let ended = ended.await?;
    let count = i64::try_from(ended.len()).unwrap_or(i64::MAX);
    let entry = own_entry(session, AuditAction::SecondFactorConfirmed, request_id)
        .with_detail(Detail::new().count("sessions_ended", count));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    for ended in ended {
        announce_revoked(notifier, ended);
    }
    Ok(codes)
}

/// Deletes the factor of the session's user, with its recovery codes. Without one it changes nothing.
pub async fn remove(pool: &PgPool, session: &Session, request_id: &str) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    if second_factors::delete(&mut tx, session.tenant, session.user).await? {
        let entry = own_entry(session, AuditAction::SecondFactorRemoved, request_id);
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Deletes the factor of another user who lost it, and ends their sessions. False if they had none.
///
/// # Errors
/// If the tenant has no such user, their role is above the actor's, or the database refuses.
pub async fn reset(
    pool: &PgPool,
    notifier: &Notifier,
    actor: TenantActor<'_>,
    user: UserId,
) -> Result<bool, ManageUserError> {
    let tenant = actor.tenant();
    let mut tx = pool.begin().await?;
    users::lock(&mut tx, tenant, user).await?;
    let present = users::get(&mut tx, tenant, user)
        .await?
        .ok_or(ManageUserError::NotFound)?;
    if !may_grant(&mut tx, actor, present.role).await? {
        return Err(ManageUserError::RoleTooHigh);
    }
    if !second_factors::delete(&mut tx, tenant, user).await? {
        return Ok(false);
    }
    // What the factor protected is now open to who knows the password; a session of a thief must not outlive it.
    let ended =
        sessions::revoke_all(&mut tx, tenant, user, None, RevokeReason::SecondFactor).await?;
    let entry = actor.audit(AuditAction::SecondFactorReset, ResourceKind::User, user);
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    for ended in ended {
        announce_revoked(notifier, ended);
    }
    Ok(true)
}

/// The row that seals a user's secret.
pub(in crate::commands) fn place(tenant: TenantId, user: UserId) -> SecretRow<'static> {
    SecretRow {
        table: "second_factors",
        tenant: tenant.0,
        row: user.0,
        column: "secret",
    }
}

fn own_entry(session: &Session, action: AuditAction, request_id: &str) -> NewAuditEntry {
    session
        .audit(action, ResourceKind::User, session.user)
        .with_request(Some(request_id))
}
