//! The first owner of a tenant: invited from the command line, because there is no default account.

use super::invite::{Invited, NewInvitation, insert};
use crate::domain::ResourceKind;
use crate::{
    domain::{
        Actor, AuditAction, NewAuditEntry,
        invite::{EmailAddress, TenantSlug},
        session::Role,
    },
    store::{audit, invites, tenants, users},
};
use sqlx::{PgConnection, PgPool};

/// No invite was created.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("tenant {} has an owner already; owners and admins invite by POST /v1/invites", .0.as_str())]
    OwnerExists(TenantSlug),
    #[error("could not write the tenant and its invite")]
    Database(#[from] sqlx::Error),
}

/// Invites the first owner, and creates the tenant if there is none of this name. Called again before the invite is
/// accepted, it replaces the invite.
///
/// # Errors
/// If the tenant has an owner, or the database refuses.
pub async fn bootstrap(
    pool: &PgPool,
    slug: &TenantSlug,
    email: &EmailAddress,
) -> Result<Invited, BootstrapError> {
    let mut tx = pool.begin().await?;
    let tenant = find_or_insert(&mut tx, slug).await?;
    // Concurrent calls take turns here, and the second revokes the invite of the first.
    invites::lock_tenant(&mut tx, tenant).await?;
    if users::owner_exists(&mut tx, tenant).await? {
        return Err(BootstrapError::OwnerExists(slug.clone()));
    }
    let mut replaced = invites::revoke_first_owner(&mut tx, tenant).await?;
    replaced.extend(invites::revoke_for(&mut tx, tenant, email).await?);
    let promise = NewInvitation {
        tenant,
        email,
        role: Role::Owner,
        invited_by: None,
    };
    let invited = insert(&mut tx, &promise, &replaced, Actor::Cli, None).await?;
    tx.commit().await?;
    Ok(invited)
}

async fn find_or_insert(
    conn: &mut PgConnection,
    slug: &TenantSlug,
) -> Result<base::TenantId, sqlx::Error> {
    if let Some(tenant) = tenants::insert(conn, slug.as_str()).await? {
        let entry = NewAuditEntry::new(
            tenant,
            Actor::Cli,
            AuditAction::TenantCreated,
            ResourceKind::Tenant,
            tenant,
        );
        audit::insert(conn, &[entry]).await?;
        return Ok(tenant);
    }
    tenants::find(conn, slug.as_str())
        .await?
        .ok_or(sqlx::Error::RowNotFound)
}
