//! Delegates: users who may decide another's drafts as that user may. A user chooses their own; owners and admins choose
//! those of a user below them, who finds it in their inbox. Each change is audited.

use super::manage::{ManageUserError, may_grant};
use crate::{
    commands::actor::TenantActor,
    domain::{
        AuditAction, Detail, ResourceKind, UserId,
        inbox::{ItemSource, NewItem, title_of},
        judgement::Priority,
    },
    store::{
        audit, delegations, inbox_items,
        users::{self, AccountName},
    },
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Makes a user the owner's delegate. One who is a delegate already changes nothing.
///
/// # Errors
/// If the tenant has no such users, the owner's role is above the actor's, or the database refuses.
pub async fn add_delegate(
    pool: &PgPool,
    actor: TenantActor<'_>,
    owner: UserId,
    delegate: UserId,
) -> Result<(), ManageUserError> {
    if owner == delegate {
        // Nobody is their own delegate, and the table knows it.
        return Err(ManageUserError::NotFound);
    }
    let mut tx = pool.begin().await?;
    require_right(&mut tx, actor, owner).await?;
    let added = delegations::insert(&mut tx, actor.tenant(), owner, delegate)
        .await?
        .ok_or(ManageUserError::NotFound)?;
    if added {
        record(
            &mut tx,
            actor,
            AuditAction::DelegateAdded,
            (owner, delegate),
        )
        .await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Removes a delegate of the owner; one who is none changes nothing.
///
/// # Errors
/// If the tenant has no such owner, their role is above the actor's, or the database refuses.
pub async fn remove_delegate(
    pool: &PgPool,
    actor: TenantActor<'_>,
    owner: UserId,
    delegate: UserId,
) -> Result<(), ManageUserError> {
    let mut tx = pool.begin().await?;
    require_right(&mut tx, actor, owner).await?;
    if delegations::delete(&mut tx, actor.tenant(), owner, delegate).await? {
        record(
            &mut tx,
            actor,
            AuditAction::DelegateRemoved,
            (owner, delegate),
        )
        .await?;
        tx.commit().await?;
    }
    Ok(())
}

/// A delegate sends in the owner's name: nobody chooses one for a user of a role above their own.
async fn require_right(
    conn: &mut PgConnection,
    actor: TenantActor<'_>,
    owner: UserId,
) -> Result<(), ManageUserError> {
    if actor.user() == Some(owner) {
        return Ok(());
    }
    let present = users::get(conn, actor.tenant(), owner)
        .await?
        .ok_or(ManageUserError::NotFound)?;
    if may_grant(conn, actor, present.role).await? {
        Ok(())
    } else {
        Err(ManageUserError::RoleTooHigh)
    }
}

/// Writes the audit entry, and the inbox item of an owner for whom another decided.
async fn record(
    conn: &mut PgConnection,
    actor: TenantActor<'_>,
    action: AuditAction,
    (owner, delegate): (UserId, UserId),
) -> Result<(), sqlx::Error> {
    let entry = actor
        .audit(action, ResourceKind::User, owner)
        .with_detail(Detail::new().id("delegate", delegate.0));
    audit::insert(conn, &[entry]).await?;
    if actor.user() == Some(owner) {
        return Ok(());
    }
    let AccountName { email, .. } = users::account_name(conn, actor.tenant(), delegate).await?;
    let (title, rationale) = if action == AuditAction::DelegateAdded {
        (
            "An administrator let another user decide your drafts",
            format!(
                "{email} can approve, change and reject your drafts as you can. You can remove them from your delegates."
            ),
        )
    } else {
        (
            "An administrator removed one of your delegates",
            format!("{email} can no longer decide your drafts."),
        )
    };
    let item = NewItem {
        owner: Some(owner),
        source: ItemSource::Manual,
        // Each change has an item of its own.
        dedupe_key: format!("delegate:{}", Uuid::now_v7()),
        title: title_of(title),
        rationale,
        priority: Priority::High,
        message: None,
        job: None,
    };
    inbox_items::insert(conn, actor.tenant(), &item).await?;
    Ok(())
}
