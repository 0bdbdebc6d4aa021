//! Log-in with an identity provider from the command line: `admin identity-provider set`, `show` and `remove`.

use super::{print, tenant_id};
use anyhow::Context;
use base::db::PgPool;
use clap::{Args, Subcommand};
use jobs::{
    commands::{
        actor::TenantActor,
        identity_providers::{KeySource, delete_provider, put_provider},
    },
    domain::{
        connection::WebUrl,
        identity_provider::{KeySet, Provider},
        invite::TenantSlug,
    },
    store::identity_providers,
};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum IdentityProviderCommand {
    /// Let the tokens of an identity provider open sessions in a tenant.
    Set {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
        /// The `iss` of its tokens.
        #[arg(long)]
        issuer: String,
        /// Must be among the `aud` of its tokens.
        #[arg(long)]
        audience: String,
        #[command(flatten)]
        keys: Keys,
    },
    /// Print the identity provider of a tenant, with the ids of its keys.
    Show {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
    },
    /// Remove the identity provider of a tenant: no tokens open sessions any more.
    Remove {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
    },
}

/// Where the keys come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Keys {
    /// Where a worker fetches the keys.
    #[arg(long)]
    jwks_url: Option<WebUrl>,
    /// A file with a JSON Web Key Set.
    #[arg(long)]
    jwks_file: Option<PathBuf>,
}

pub(super) async fn run(pool: &PgPool, command: IdentityProviderCommand) -> anyhow::Result<()> {
    match command {
        IdentityProviderCommand::Set {
            tenant,
            issuer,
            audience,
            keys,
        } => {
            let source = source(keys)?;
            let actor = TenantActor::Shell {
                tenant: tenant_id(pool, &tenant).await?,
            };
            let provider = Provider { issuer, audience };
            put_provider(pool, actor, &provider, &source).await?;
            print(&format!(
                "tokens of {} open sessions in {}",
                provider.issuer,
                tenant.as_str()
            ))
        }
        IdentityProviderCommand::Show { tenant } => show(pool, &tenant).await,
        IdentityProviderCommand::Remove { tenant } => {
            let actor = TenantActor::Shell {
                tenant: tenant_id(pool, &tenant).await?,
            };
            let had_one = delete_provider(pool, actor)
                .await
                .context("could not remove the identity provider")?;
            print(if had_one {
                "the identity provider is removed"
            } else {
                "the tenant has no identity provider"
            })
        }
    }
}

fn source(keys: Keys) -> anyhow::Result<KeySource> {
    match keys {
        Keys {
            jwks_url: Some(url),
            ..
        } => Ok(KeySource::Url(url)),
        Keys { jwks_file, .. } => {
            let path = jwks_file.context("give --jwks-url or --jwks-file")?;
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("could not read {}", path.display()))?;
            let keys = serde_json::from_str(&text)
                .with_context(|| format!("{} is not JSON", path.display()))?;
            Ok(KeySource::Given(keys))
        }
    }
}

async fn show(pool: &PgPool, tenant: &TenantSlug) -> anyhow::Result<()> {
    let tenant = tenant_id(pool, tenant).await?;
    let mut conn = pool
        .acquire()
        .await
        .context("could not connect to the database")?;
    let found = identity_providers::find(&mut conn, tenant)
        .await
        .context("could not read the identity provider")?
        .context("the tenant has no identity provider")?;
    let keys = found.keys.as_ref().and_then(|keys| KeySet::read(keys).ok());
    let ids = keys.map_or_else(Vec::new, |keys| keys.ids());
    print(&format!(
        "issuer {}, audience {}, keys {} from {}{}",
        found.provider.issuer,
        found.provider.audience,
        ids.join(", "),
        found.jwks_url.as_deref().unwrap_or("a file"),
        found
            .last_error
            .map_or_else(String::new, |code| format!(", last error {code}")),
    ))
}
