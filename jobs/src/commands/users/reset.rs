//! A forgotten password: an owner, an admin or a person with a shell makes a one-time token ([`create_reset`]) and gives
//! it to the user, who sets a new password with it ([`reset_password`]).
//!
//! We send no email for it: the reader of a mailbox would then own the account that reads that mailbox.

use super::manage::{ManageUserError, may_grant};
use crate::{
    commands::{
        actor::TenantActor,
        sessions::{
            hashing::{HashingError, PasswordHasher},
            signals::announce_revoked,
        },
    },
    domain::{
        Actor, AuditAction, Detail, NewAuditEntry, PasswordResetToken, ResourceKind, UserId,
        password::{NewPassword, WeakPassword},
        session::{Origin, RevokeReason},
        tenant::UserStatus,
    },
    store::{audit, invites, password_resets, sessions, users},
};
use chrono::{DateTime, Utc};
use queue::signals::notifier::Notifier;
use sqlx::PgPool;

/// A reset, and the only copy of its token.
#[derive(Debug)]
pub struct CreatedReset {
    pub token: PasswordResetToken,
    pub expires_at: DateTime<Utc>,
}

/// The password was not reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// Unknown, used, replaced or expired, or its user cannot log in.
    #[error("the reset cannot be used")]
    Gone,
    #[error("the password is too easy to guess")]
    Weak(#[from] WeakPassword),
    #[error("could not hash the password")]
    Hashing(#[from] HashingError),
    #[error("could not reset the password")]
    Database(#[from] sqlx::Error),
}

/// Makes a token that sets a user's password once, within an hour; replaces the user's former one.
///
/// # Errors
/// If the tenant has no such active user, their role is above the actor's, or the database refuses.
pub async fn create_reset(
    pool: &PgPool,
    actor: TenantActor<'_>,
    user: UserId,
) -> Result<CreatedReset, ManageUserError> {
    let tenant = actor.tenant();
    let token = PasswordResetToken::generate();
    let mut tx = pool.begin().await?;
    users::lock(&mut tx, tenant, user).await?;
    let present = users::get(&mut tx, tenant, user)
        .await?
        .filter(|present| present.status == UserStatus::Active)
        .ok_or(ManageUserError::NotFound)?;
    // Who takes the actor's right ends what they made, or is seen here.
    invites::lock_tenant(&mut tx, tenant).await?;
    if !may_grant(&mut tx, actor, present.role).await? {
        return Err(ManageUserError::RoleTooHigh);
    }
    let expires_at =
        password_resets::put(&mut tx, tenant, user, actor.user(), &token.hash()).await?;
    let entry = actor.audit(AuditAction::PasswordResetCreated, ResourceKind::User, user);
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(CreatedReset { token, expires_at })
}

/// Sets the password and ends all sessions of the user, who then logs in.
pub async fn reset_password(
    pool: &PgPool,
    notifier: &Notifier,
    hasher: &PasswordHasher,
    token: &PasswordResetToken,
    password: NewPassword,
    origin: &Origin,
) -> Result<(), ResetError> {
    let hash = token.hash();
    // Hashing is expensive and this route is public: check first whether the reset can be used.
    let account = password_resets::find_open(&mut *pool.acquire().await?, &hash)
        .await?
        .ok_or(ResetError::Gone)?;
    let password = password.not_about(&account.email, &account.slug)?;
    let password_hash = hasher.hash(password).await?;
    let mut tx = pool.begin().await?;
    let (tenant, user) = password_resets::consume(&mut tx, &hash)
        .await?
        .ok_or(ResetError::Gone)?;
    users::set_password(&mut tx, tenant, user, &password_hash).await?;
    let ended = sessions::revoke_all(&mut tx, tenant, user, None, RevokeReason::Password).await?;
    let actor = Actor::User {
        user,
        session: None,
    };
    let count = i64::try_from(ended.len()).unwrap_or(i64::MAX);
    let entry = NewAuditEntry::new(
        tenant,
        actor,
        AuditAction::PasswordChanged,
        ResourceKind::User,
        user,
    )
    .with_origin(origin)
    .with_detail(
        Detail::new()
            .flag("by_reset", true)
            .count("sessions_ended", count),
    );
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    for ended in ended {
        announce_revoked(notifier, ended);
    }
    Ok(())
}
