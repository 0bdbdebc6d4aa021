//! The identity provider of a tenant: [`put_provider`] and [`delete_provider`], for its owners and the command line.
//!
//! A person who chooses the provider can log in as anybody of the tenant: that is why nobody below an owner may.

use super::actor::TenantActor;
use crate::{
    domain::{
        AuditAction, Detail, ResourceKind,
        connection::WebUrl,
        identity_provider::{KeySet, KeySetFault, Provider},
    },
    store::{
        audit,
        identity_providers::{self, NewProvider},
    },
};
use serde_json::Value;
use sqlx::PgPool;

/// Where the keys of a provider come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A worker fetches them.
    Url(WebUrl),
    /// A JSON Web Key Set.
    Given(Value),
}

/// The provider was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutProviderError {
    /// A machine on the way could answer with keys of its own and log in as anybody.
    #[error("the keys would be fetched without encryption: use an https URL")]
    PlainUrl,
    #[error("the key set {0}")]
    Keys(#[from] KeySetFault),
    #[error("could not store the identity provider")]
    Database(#[from] sqlx::Error),
}

/// Lets the tokens of this provider open sessions, in place of those of the tenant's former one.
///
/// # Errors
/// If the keys would be fetched unencrypted, no key can be used, or the database refuses.
pub async fn put_provider(
    pool: &PgPool,
    actor: TenantActor<'_>,
    provider: &Provider,
    source: &KeySource,
) -> Result<(), PutProviderError> {
    let (jwks_url, keys) = match source {
        KeySource::Url(url) if !url.is_encrypted() && !url.is_local() => {
            return Err(PutProviderError::PlainUrl);
        }
        KeySource::Url(url) => (Some(url.url().as_str()), None),
        KeySource::Given(keys) => {
            KeySet::read(keys)?;
            (None, Some(keys))
        }
    };
    let new = NewProvider {
        provider,
        jwks_url,
        keys,
    };
    let tenant = actor.tenant();
    let mut tx = pool.begin().await?;
    identity_providers::put(&mut tx, tenant, &new).await?;
    let entry = actor
        .audit(
            AuditAction::IdentityProviderSet,
            ResourceKind::Tenant,
            tenant,
        )
        .with_detail(
            Detail::new()
                .fingerprint("issuer", &provider.issuer)
                .fingerprint("audience", &provider.audience)
                .flag("by_url", jwks_url.is_some()),
        );
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(())
}

/// Lets no tokens open sessions any more. Sessions that are open stay. False if there was no provider.
pub async fn delete_provider(pool: &PgPool, actor: TenantActor<'_>) -> Result<bool, sqlx::Error> {
    let tenant = actor.tenant();
    let mut tx = pool.begin().await?;
    if !identity_providers::delete(&mut tx, tenant).await? {
        return Ok(false);
    }
    let action = AuditAction::IdentityProviderDeleted;
    let entry = actor.audit(action, ResourceKind::Tenant, tenant);
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(true)
}
