//! API keys for tests: [`key`] is the token of a new one.

use super::TestDb;
use base::TenantId;
use jobs::{
    commands::{
        actor::TenantActor,
        api_keys::{Issued, create_key},
    },
    domain::api_key::{KeyScope, KeyScopes},
    store::api_keys::NewApiKey,
};

/// Everything that a key can carry.
pub(crate) fn all_scopes() -> Vec<KeyScope> {
    KeyScope::ALL.to_vec()
}

/// A new key of the tenant, which does not expire and may be used from anywhere.
pub(crate) async fn issue(
    db: &TestDb,
    tenant: TenantId,
    scopes: impl IntoIterator<Item = KeyScope>,
) -> Issued {
    let new = NewApiKey {
        name: "for a test".to_owned(),
        scopes: scopes.into_iter().collect::<KeyScopes>(),
        ranges: Vec::new(),
        lifetime: None,
        created_by: None,
    };
    create_key(db.pool(), TenantActor::Shell { tenant }, &new)
        .await
        .unwrap()
}

/// The token of a new key.
pub(crate) async fn key(
    db: &TestDb,
    tenant: TenantId,
    scopes: impl IntoIterator<Item = KeyScope>,
) -> String {
    issue(db, tenant, scopes).await.token.expose().to_owned()
}
