//! Accepting an invite: the invite is used, the user created and signed in, in one transaction.
//!
//! Every refusal looks the same: an unknown, used, expired or revoked invite, or an address that has an account
//! already.

use crate::commands::sessions::{
    hashing::{HashingError, PasswordHasher},
    open::{NewSession, Opened, open_session},
};
use crate::domain::ResourceKind;
use crate::{
    domain::{
        Actor, AuditAction, Detail, InviteToken, NewAuditEntry,
        password::{NewPassword, WeakPassword},
        session::{AuthMethod, Origin, SessionLifetime},
    },
    store::{audit, invites, tenants, users},
};
use sqlx::PgPool;

/// The invite was not accepted and stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("the invite cannot be accepted")]
    Gone,
    #[error("the password is too easy to guess")]
    Weak(#[from] WeakPassword),
    #[error("could not hash the password")]
    Hashing(#[from] HashingError),
    #[error("could not accept the invite")]
    Database(#[from] sqlx::Error),
}

/// A new user's first session, and the name of the tenant they will log in to.
#[derive(Debug)]
pub struct Accepted {
    pub opened: Opened,
    pub tenant_slug: String,
}

/// Creates the invited user with this password and opens their first session.
pub async fn accept_invite(
    pool: &PgPool,
    hasher: &PasswordHasher,
    lifetime: SessionLifetime,
    token: &InviteToken,
    password: NewPassword,
    origin: &Origin,
) -> Result<Accepted, AcceptError> {
    let hash = token.hash();
    // Hashing is expensive and this route is public: check first whether the invite can be accepted.
    let (email, slug) = invites::find_open(&mut *pool.acquire().await?, &hash)
        .await?
        .ok_or(AcceptError::Gone)?;
    let password = password.not_about(email.expose(), &slug)?;
    let password_hash = hasher.hash(password).await?;

    let mut tx = pool.begin().await?;
    let invite = invites::accept(&mut tx, &hash)
        .await?
        .ok_or(AcceptError::Gone)?;
    let tenant_slug = tenants::open_slug(&mut tx, invite.tenant)
        .await?
        .ok_or(AcceptError::Gone)?;
    let user = users::insert(
        &mut tx,
        invite.tenant,
        &invite.email,
        invite.role,
        &password_hash,
    )
    .await?
    .ok_or(AcceptError::Gone)?;
    let opened = open_session(
        &mut tx,
        &NewSession {
            tenant: invite.tenant,
            user,
            role: invite.role,
            auth_method: AuthMethod::Invite,
            lifetime,
            origin: origin.clone(),
        },
    )
    .await?;
    let actor = Actor::User {
        user,
        session: Some(opened.session.id),
    };
    let entries = [
        NewAuditEntry::new(
            invite.tenant,
            actor,
            AuditAction::InviteAccepted,
            ResourceKind::Invite,
            invite.invite,
        ),
        NewAuditEntry::new(
            invite.tenant,
            actor,
            AuditAction::UserCreated,
            ResourceKind::User,
            user,
        )
        .with_detail(Detail::new().word("role", invite.role.as_str())),
    ]
    .map(|entry| entry.with_origin(origin));
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(Accepted {
        opened,
        tenant_slug,
    })
}
