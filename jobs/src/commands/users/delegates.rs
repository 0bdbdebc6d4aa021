//! Delegates: users who may decide your drafts as you may. Each change is audited.

use crate::{
    domain::{AuditAction, Detail, NewAuditEntry, ResourceKind, Session, UserId},
    store::{audit, delegations},
};
use sqlx::PgPool;

/// Makes a user the session's user's delegate. False if the tenant has no such active user.
///
/// # Errors
/// If the database refuses.
pub async fn add_delegate(
    pool: &PgPool,
    session: &Session,
    delegate: UserId,
    request_id: &str,
) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let added = delegations::insert(&mut tx, session.tenant, session.user, delegate).await?;
    if added == Some(true) {
        let entry = entry(session, AuditAction::DelegateAdded, delegate, request_id);
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
    }
    Ok(added.is_some())
}

/// Removes a delegate; one who is none changes nothing.
///
/// # Errors
/// If the database refuses.
pub async fn remove_delegate(
    pool: &PgPool,
    session: &Session,
    delegate: UserId,
    request_id: &str,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    if delegations::delete(&mut tx, session.tenant, session.user, delegate).await? {
        let entry = entry(session, AuditAction::DelegateRemoved, delegate, request_id);
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn entry(
    session: &Session,
    action: AuditAction,
    delegate: UserId,
    request_id: &str,
) -> NewAuditEntry {
    session
        .audit(action, ResourceKind::User, session.user)
        .with_request(Some(request_id))
        .with_detail(Detail::new().id("delegate", delegate.0))
}
