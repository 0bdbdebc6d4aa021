//! API keys: created, rotated and revoked by owners and admins, or from the command line; presented by programs.
//!
//! Every change is one transaction with its audit entry. A token leaves this module once, in the answer that makes it.

pub mod authenticate;

pub use authenticate::authenticate_key;

use super::sessions::signals::announce_revoked;
use crate::{
    domain::{
        ApiKeyId, ApiKeyToken, AuditAction, Detail, NewAuditEntry, ResourceKind, SessionId,
        api_key::MAX_KEYS,
    },
    store::{
        api_keys::{self, ApiKey, NewApiKey},
        audit, tenants,
    },
};
use base::TenantId;
use queue::signals::notifier::Notifier;
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

pub use crate::commands::actor::TenantActor;

/// A key, and the only copy of its token.
#[derive(Debug)]
pub struct Issued {
    pub key: ApiKey,
    pub token: ApiKeyToken,
}

/// No key was created or changed.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    #[error("the tenant has {MAX_KEYS} keys already")]
    TooMany,
    #[error("the tenant has no such key, or it has ended")]
    NotFound,
    #[error("could not write the key")]
    Database(#[from] sqlx::Error),
}

/// Creates a key with its first token.
///
/// # Errors
/// If the tenant has too many keys, or the database refuses.
pub async fn create_key(
    pool: &PgPool,
    actor: TenantActor<'_>,
    new: &NewApiKey,
) -> Result<Issued, ApiKeyError> {
    let tenant = actor.tenant();
    let mut tx = pool.begin().await?;
    // Concurrent calls take turns here, so that the second counts the key of the first.
    tenants::lock(&mut tx, tenant).await?;
    let id = api_keys::insert(&mut tx, tenant, new, MAX_KEYS)
        .await?
        .ok_or(ApiKeyError::TooMany)?;
    let issued = issue(&mut tx, tenant, id).await?;
    let ranges = i64::try_from(new.ranges.len()).unwrap_or(i64::MAX);
    let detail = new.scopes.iter().fold(
        Detail::new()
            .flag("expires", new.lifetime.is_some())
            .count("address_ranges", ranges),
        |detail, scope| detail.flag(scope.as_str(), true),
    );
    audit::insert(
        &mut tx,
        &[entry(actor, AuditAction::ApiKeyCreated, id).with_detail(detail)],
    )
    .await?;
    tx.commit().await?;
    Ok(issued)
}

/// Gives a key a new token; the old ones end after `grace`.
///
/// # Errors
/// If the tenant has no such key, it has ended, or the database refuses.
pub async fn rotate_key(
    pool: &PgPool,
    actor: TenantActor<'_>,
    key: ApiKeyId,
    grace: Duration,
) -> Result<Issued, ApiKeyError> {
    let tenant = actor.tenant();
    let mut tx = pool.begin().await?;
    if !api_keys::lock_live(&mut tx, tenant, key).await? {
        return Err(ApiKeyError::NotFound);
    }
    api_keys::supersede_tokens(&mut tx, tenant, key, grace).await?;
    let issued = issue(&mut tx, tenant, key).await?;
    let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
    let detail = Detail::new().count("grace_seconds", seconds);
    audit::insert(
        &mut tx,
        &[entry(actor, AuditAction::ApiKeyRotated, key).with_detail(detail)],
    )
    .await?;
    tx.commit().await?;
    Ok(issued)
}

/// Revokes a key and ends its long polls and streams. One that was revoked before stays as it is.
///
/// # Errors
/// If the tenant never had such a key, or the database refuses.
pub async fn revoke_key(
    pool: &PgPool,
    notifier: &Notifier,
    actor: TenantActor<'_>,
    key: ApiKeyId,
) -> Result<(), ApiKeyError> {
    let tenant = actor.tenant();
    let mut tx = pool.begin().await?;
    if api_keys::revoke(&mut tx, tenant, key).await? {
        audit::insert(&mut tx, &[entry(actor, AuditAction::ApiKeyRevoked, key)]).await?;
        tx.commit().await?;
        announce_revoked(notifier, SessionId(key.0));
    } else if api_keys::find(&mut tx, tenant, key).await?.is_none() {
        return Err(ApiKeyError::NotFound);
    }
    Ok(())
}

async fn issue(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ApiKeyId,
) -> Result<Issued, ApiKeyError> {
    let token = ApiKeyToken::generate();
    api_keys::insert_token(conn, tenant, id, &token.hash(), token.last4()).await?;
    let key = api_keys::find(conn, tenant, id)
        .await?
        .ok_or(ApiKeyError::NotFound)?;
    Ok(Issued { key, token })
}

fn entry(actor: TenantActor<'_>, action: AuditAction, key: ApiKeyId) -> NewAuditEntry {
    actor.audit(action, ResourceKind::ApiKey, key)
}
