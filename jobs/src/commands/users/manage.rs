//! Changing other people's accounts: [`update_user`] and [`remove_user`], for owners, admins and the command line.

mod tokens;

use crate::{
    commands::{
        actor::{self, TenantActor},
        sessions::signals::announce_revoked,
    },
    domain::{
        AuditAction, Detail, ResourceKind, SessionId, UserId,
        session::{RevokeReason, Role},
        tenant::UserStatus,
    },
    store::{
        audit, connections, invites, second_factors, sessions, tenants,
        users::{self, User},
    },
};
use queue::signals::notifier::Notifier;
use sqlx::{PgConnection, PgPool};
use tokens::revoke_tokens;

/// What to change about a user; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    pub role: Option<Role>,
    /// Suspends a user, or lets a suspended one log in again.
    pub suspended: Option<bool>,
}

/// The user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ManageUserError {
    #[error("the tenant has no such user")]
    NotFound,
    /// Of the user as it is, or as it would be.
    #[error("nobody changes a user of a role above their own, or grants one")]
    RoleTooHigh,
    #[error("the tenant would have no active owner: make another user an owner first")]
    LastOwner,
    #[error("could not change the user")]
    Database(#[from] sqlx::Error),
}

/// Changes a user's role, status or both; a suspended user's sessions end at once, and so do the invites and password resets
/// that they may no longer make.
pub async fn update_user(
    pool: &PgPool,
    notifier: &Notifier,
    actor: TenantActor<'_>,
    user: UserId,
    change: UserChange,
) -> Result<User, ManageUserError> {
    let mut tx = pool.begin().await?;
    let present = lock_user(&mut tx, actor, user).await?;
    let role = change.role.unwrap_or(present.role);
    let status = match change.suspended {
        None => present.status,
        Some(true) => UserStatus::Suspended,
        Some(false) => UserStatus::Active,
    };
    if !may_grant(&mut tx, actor, role).await? {
        return Err(ManageUserError::RoleTooHigh);
    }
    if (role, status) == (present.role, present.status) {
        return Ok(present);
    }
    users::set_role_and_status(&mut tx, actor.tenant(), user, role, status).await?;
    require_owner(&mut tx, actor).await?;
    let (ended, left) = match status {
        UserStatus::Active => (Vec::new(), Some(role)),
        UserStatus::Suspended | UserStatus::Deleted => {
            (end_sessions(&mut tx, actor, user).await?, None)
        }
    };
    let revoked = revoke_tokens(&mut tx, actor, user, left).await?;
    let entry = actor
        .audit(AuditAction::UserUpdated, ResourceKind::User, user)
        .with_detail(
            Detail::new()
                .word("role", role.as_str())
                .word("role_before", present.role.as_str())
                .word("status", status.as_str())
                .count("password_resets", revoked.resets),
        );
    let mut entries = revoked.entries;
    entries.push(entry);
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    announce(notifier, &ended);
    Ok(User {
        role,
        status,
        ..present
    })
}

/// Removes a user: their sessions end, with the invites and password resets that they made, their accounts at providers are
/// disconnected, and their address is forgotten, so that it can be invited again. What they decided stays, under their id.
pub async fn remove_user(
    pool: &PgPool,
    notifier: &Notifier,
    actor: TenantActor<'_>,
    user: UserId,
) -> Result<(), ManageUserError> {
    let mut tx = pool.begin().await?;
    let present = lock_user(&mut tx, actor, user).await?;
    // Found by the address, which is forgotten next.
    invites::delete_of_user(&mut tx, actor.tenant(), user).await?;
    users::remove(&mut tx, actor.tenant(), user).await?;
    second_factors::delete(&mut tx, actor.tenant(), user).await?;
    require_owner(&mut tx, actor).await?;
    let disconnected = connections::revoke_all_of(&mut tx, actor.tenant(), user).await?;
    let ended = end_sessions(&mut tx, actor, user).await?;
    let revoked = revoke_tokens(&mut tx, actor, user, None).await?;
    let disconnected = i64::try_from(disconnected).unwrap_or(i64::MAX);
    let entry = actor
        .audit(AuditAction::UserRemoved, ResourceKind::User, user)
        .with_detail(
            Detail::new()
                .word("role_before", present.role.as_str())
                .count("connections", disconnected)
                .count("password_resets", revoked.resets),
        );
    let mut entries = revoked.entries;
    entries.push(entry);
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    announce(notifier, &ended);
    Ok(())
}

/// Locks the tenant, so that of two owners who remove each other one is refused, and reads the user.
async fn lock_user(
    conn: &mut PgConnection,
    actor: TenantActor<'_>,
    user: UserId,
) -> Result<User, ManageUserError> {
    tenants::lock(conn, actor.tenant()).await?;
    let present = users::get(conn, actor.tenant(), user)
        .await?
        .ok_or(ManageUserError::NotFound)?;
    if may_grant(conn, actor, present.role).await? {
        Ok(present)
    } else {
        Err(ManageUserError::RoleTooHigh)
    }
}

/// Reports whether the actor may grant, and so change, this role; a person with a shell may.
pub(super) async fn may_grant(
    conn: &mut PgConnection,
    actor: TenantActor<'_>,
    role: Role,
) -> Result<bool, sqlx::Error> {
    match actor {
        TenantActor::User { session, .. } => actor::may_grant(conn, session, role).await,
        TenantActor::Shell { .. } => Ok(true),
    }
}

async fn require_owner(
    conn: &mut PgConnection,
    actor: TenantActor<'_>,
) -> Result<(), ManageUserError> {
    if users::active_owner_exists(conn, actor.tenant()).await? {
        Ok(())
    } else {
        Err(ManageUserError::LastOwner)
    }
}

async fn end_sessions(
    conn: &mut PgConnection,
    actor: TenantActor<'_>,
    user: UserId,
) -> Result<Vec<SessionId>, sqlx::Error> {
    sessions::revoke_all(conn, actor.tenant(), user, None, RevokeReason::Admin).await
}

fn announce(notifier: &Notifier, ended: &[SessionId]) {
    for &session in ended {
        announce_revoked(notifier, session);
    }
}
