//! Inviting users and revoking invites.
//!
//! Nothing here reveals whether an address has an account: an invite for it is created like any other and simply cannot
//! be accepted.

use crate::domain::ResourceKind;
use crate::{
    commands::actor::may_grant,
    domain::{
        Actor, AuditAction, Detail, InviteId, InviteToken, NewAuditEntry, Session, UserId,
        invite::EmailAddress, session::Role,
    },
    store::{
        audit,
        invites::{self, Invite},
    },
};
use base::TenantId;
use sqlx::{PgConnection, PgPool};

/// An invite, and the only copy of its token.
#[derive(Debug)]
pub struct Invited {
    pub invite: Invite,
    pub token: InviteToken,
}

/// No invite was created or revoked.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// A role above the inviter's own cannot be granted.
    #[error("the inviter may not grant the role {}", .0.as_str())]
    RoleTooHigh(Role),
    #[error("the tenant has no such invite")]
    NotFound,
    #[error("could not write the invite")]
    Database(#[from] sqlx::Error),
}

/// Invites an address; revokes a pending invite for it.
///
/// # Errors
/// If the role is above the inviter's, which is audited, or the database refuses.
pub async fn invite(
    pool: &PgPool,
    session: &Session,
    email: &EmailAddress,
    role: Role,
    request_id: Option<&str>,
) -> Result<Invited, InviteError> {
    let actor = session.actor();
    let mut tx = pool.begin().await?;
    invites::lock_tenant(&mut tx, session.tenant).await?;
    if !may_grant(&mut tx, session, role).await? {
        let entry = session
            .audit(AuditAction::AuthzFail, ResourceKind::User, session.user)
            .denied("ROLE_TOO_HIGH")
            .with_request(request_id)
            .with_detail(Detail::new().word("role", role.as_str()));
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
        return Err(InviteError::RoleTooHigh(role));
    }
    let replaced = invites::revoke_for(&mut tx, session.tenant, email).await?;
    let promise = NewInvitation {
        tenant: session.tenant,
        email,
        role,
        invited_by: Some(session.user),
    };
    let invited = insert(&mut tx, &promise, &replaced, actor, request_id).await?;
    tx.commit().await?;
    Ok(invited)
}

/// Revokes an invite of the tenant. One that was revoked or accepted before stays as it is.
///
/// # Errors
/// If the tenant has no such invite, or the database refuses.
pub async fn revoke_invite(
    pool: &PgPool,
    session: &Session,
    invite: InviteId,
    request_id: Option<&str>,
) -> Result<(), InviteError> {
    let mut tx = pool.begin().await?;
    if invites::revoke(&mut tx, session.tenant, invite).await? {
        let actor = session.actor();
        let entry = revoked(session.tenant, actor, invite)
            .with_request(request_id)
            .with_client_request(session.client_request_id.as_deref());
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
    } else if !invites::exists(&mut tx, session.tenant, invite).await? {
        return Err(InviteError::NotFound);
    }
    Ok(())
}

/// The invite to insert.
pub(super) struct NewInvitation<'a> {
    pub(super) tenant: TenantId,
    pub(super) email: &'a EmailAddress,
    pub(super) role: Role,
    pub(super) invited_by: Option<UserId>,
}

/// Inserts an invite with its audit entries, after the `replaced` ones were revoked.
pub(super) async fn insert(
    conn: &mut PgConnection,
    promise: &NewInvitation<'_>,
    replaced: &[InviteId],
    actor: Actor,
    request_id: Option<&str>,
) -> Result<Invited, sqlx::Error> {
    let token = InviteToken::generate();
    let (tenant, role) = (promise.tenant, promise.role);
    let invite = invites::insert(
        conn,
        tenant,
        promise.email,
        role,
        promise.invited_by,
        &token.hash(),
    )
    .await?;
    let mut entries: Vec<NewAuditEntry> = replaced
        .iter()
        .map(|&id| revoked(tenant, actor, id).with_request(request_id))
        .collect();
    entries.push(
        NewAuditEntry::new(
            tenant,
            actor,
            AuditAction::InviteCreated,
            ResourceKind::Invite,
            invite.id,
        )
        .with_request(request_id)
        .with_detail(Detail::new().word("role", role.as_str())),
    );
    audit::insert(conn, &entries).await?;
    Ok(Invited { invite, token })
}

fn revoked(tenant: TenantId, actor: Actor, invite: InviteId) -> NewAuditEntry {
    NewAuditEntry::new(
        tenant,
        actor,
        AuditAction::InviteRevoked,
        ResourceKind::Invite,
        invite,
    )
}
