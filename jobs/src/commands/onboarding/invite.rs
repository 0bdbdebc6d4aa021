//! Inviting somebody, seeing who is invited, and taking it back.
//!
//! Nothing here tells whether an address already has an account: an invite for it is made like any other and simply
//! cannot be accepted.

use crate::{
    domain::{
        Action, Actor, Detail, InviteId, InviteToken, NewAuditEntry, Session, UserId,
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

/// Nobody was invited, or nothing taken back.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// Nobody hands out more than they have.
    #[error("a {} may not make somebody {}", inviter.as_str(), invited.as_str())]
    RoleTooHigh { inviter: Role, invited: Role },
    #[error("the tenant has no such invite")]
    NotFound,
    #[error("could not write the invite")]
    Database(#[from] sqlx::Error),
}

/// Invites an address; a pending invite for it is revoked.
///
/// # Errors
/// When the role is above the inviter's, which is written to the audit log, or the database refuses.
pub async fn invite(
    pool: &PgPool,
    session: &Session,
    email: &EmailAddress,
    role: Role,
    request_id: Option<&str>,
) -> Result<Invited, InviteError> {
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    if !session.role.may_grant(role) {
        let entry = NewAuditEntry::new(
            session.tenant,
            actor,
            Action::AUTHZ_FAIL,
            "user",
            session.user,
        )
        .denied("ROLE_TOO_HIGH")
        .with_request(request_id)
        .with_detail(Detail::new().word("role", role.as_str()));
        audit::insert(&mut *pool.acquire().await?, &[entry]).await?;
        return Err(InviteError::RoleTooHigh {
            inviter: session.role,
            invited: role,
        });
    }
    let mut tx = pool.begin().await?;
    invites::lock_tenant(&mut tx, session.tenant).await?;
    let replaced = invites::revoke_for(&mut tx, session.tenant, email).await?;
    let promise = Promise {
        tenant: session.tenant,
        email,
        role,
        invited_by: Some(session.user),
    };
    let invited = promise_in(&mut tx, &promise, &replaced, actor, request_id).await?;
    tx.commit().await?;
    Ok(invited)
}

/// Takes back an invite of the tenant. What was taken back or accepted before stays as it is.
///
/// # Errors
/// When the tenant never had it, or the database refuses.
pub async fn revoke_invite(
    pool: &PgPool,
    session: &Session,
    invite: InviteId,
    request_id: Option<&str>,
) -> Result<(), InviteError> {
    let mut tx = pool.begin().await?;
    if invites::revoke(&mut tx, session.tenant, invite).await? {
        let actor = Actor::User {
            user: session.user,
            session: Some(session.id),
        };
        let entry = revoked(session.tenant, actor, invite).with_request(request_id);
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
    } else if !invites::exists(&mut tx, session.tenant, invite).await? {
        return Err(InviteError::NotFound);
    }
    Ok(())
}

/// Whom to promise an account.
pub(super) struct Promise<'a> {
    pub(super) tenant: TenantId,
    pub(super) email: &'a EmailAddress,
    pub(super) role: Role,
    pub(super) invited_by: Option<UserId>,
}

/// Writes an invite and its audit entries, once `replaced` are revoked.
pub(super) async fn promise_in(
    conn: &mut PgConnection,
    promise: &Promise<'_>,
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
        NewAuditEntry::new(tenant, actor, Action::INVITE_CREATED, "invite", invite.id)
            .with_request(request_id)
            .with_detail(Detail::new().word("role", role.as_str())),
    );
    audit::insert(conn, &entries).await?;
    Ok(Invited { invite, token })
}

fn revoked(tenant: TenantId, actor: Actor, invite: InviteId) -> NewAuditEntry {
    NewAuditEntry::new(tenant, actor, Action::INVITE_REVOKED, "invite", invite)
}
