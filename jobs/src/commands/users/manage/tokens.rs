//! The invites and password resets that a user made: they end with the right to make them, since who made one may have
//! kept its token. See [`revoke_tokens`].

use crate::{
    commands::actor::TenantActor,
    domain::{AuditAction, NewAuditEntry, ResourceKind, UserId, session::Role},
    store::{invites, password_resets},
};
use sqlx::PgConnection;

/// The tokens that were revoked.
pub(super) struct RevokedTokens {
    /// Of each invite.
    pub(super) entries: Vec<NewAuditEntry>,
    pub(super) resets: i64,
}

/// Revokes what the user made for roles that they may no longer grant; `left` is the role that they have now, `None` if
/// they cannot log in.
pub(super) async fn revoke_tokens(
    conn: &mut PgConnection,
    actor: TenantActor<'_>,
    user: UserId,
    left: Option<Role>,
) -> Result<RevokedTokens, sqlx::Error> {
    let tenant = actor.tenant();
    let lost: Vec<Role> = Role::ALL
        .iter()
        .copied()
        .filter(|&role| !left.is_some_and(|left| left.may_grant(role)))
        .collect();
    // An invite or reset that is being made is seen once its transaction has ended.
    invites::lock_tenant(conn, tenant).await?;
    let invites = invites::revoke_by(conn, tenant, user, &lost).await?;
    let resets = password_resets::delete_by(conn, tenant, user, &lost).await?;
    let entry = |id| actor.audit(AuditAction::InviteRevoked, ResourceKind::Invite, id);
    Ok(RevokedTokens {
        entries: invites.into_iter().map(entry).collect(),
        resets: i64::try_from(resets).unwrap_or(i64::MAX),
    })
}
