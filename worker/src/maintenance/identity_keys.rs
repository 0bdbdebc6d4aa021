//! Fetches the keys of tenants' identity providers: the API, which verifies tokens with them, opens no connections.

use crate::providers::{ProviderError, Providers};
use async_trait::async_trait;
use jobs::{
    domain::{connection::WebUrl, identity_provider::KeySet},
    store::identity_providers::{self, DueKeys},
};
use queue::runtime::duty::{Duty, DutyContext};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Providers that are asked at once in one tick.
const AT_ONCE: i64 = 20;

/// Waits no longer for one provider: until all have answered, no other duty of the worker runs.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Fetches keys that are due.
pub(super) struct FetchIdentityKeys {
    pub(super) providers: Providers,
}

#[async_trait]
impl Duty for FetchIdentityKeys {
    fn name(&self) -> &'static str {
        "fetch_identity_keys"
    }

    fn every(&self) -> Duration {
        // How long after a provider has changed its keys the first log-in fails.
        Duration::from_secs(5)
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let due = identity_providers::take_due(&context.queue_pool, AT_ONCE).await?;
        let asked = due.iter().map(|due| self.fetch(context, due));
        futures::future::join_all(asked).await.into_iter().collect()
    }
}

impl FetchIdentityKeys {
    async fn key_set(&self, due: &DueKeys) -> Result<Value, ProviderError> {
        let url: WebUrl = due.jwks_url.parse().map_err(|_| ProviderError::Permanent {
            code: "unusable_url",
            message: "The URL of the keys cannot be used.".into(),
        })?;
        self.providers.key_set(&url).await
    }

    async fn fetch(&self, context: &DutyContext, due: &DueKeys) -> Result<(), sqlx::Error> {
        let code = match timeout(TIMEOUT, self.key_set(due)).await {
            Ok(Ok(keys)) if KeySet::read(&keys).is_ok() => {
                return identity_providers::set_keys(&context.queue_pool, due, &keys).await;
            }
            Ok(Ok(_)) => "no_usable_keys",
            Ok(Err(error)) => error.code(),
            Err(_) => "timeout",
        };
        tracing::warn!(tenant.id = %due.tenant, code, "the keys of an identity provider could not be fetched");
        identity_providers::set_error(&context.queue_pool, due, code).await
    }
}
