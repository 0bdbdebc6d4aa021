//! API keys from the command line: `admin keys create`, `list`, `rotate` and `revoke`.

use super::{announced, print, tenant_id};
use anyhow::{Context, ensure};
use base::db::PgPool;
use chrono::TimeDelta;
use clap::Subcommand;
use jobs::{
    commands::{
        actor::TenantActor,
        api_keys::{Issued, create_key, revoke_key, rotate_key},
    },
    domain::{
        ApiKeyId,
        api_key::{
            AddressRange, KeyScope, MAX_LIFETIME_DAYS, MAX_NAME, MAX_RANGES, MAX_ROTATION_GRACE,
        },
        invite::TenantSlug,
        name::Name,
    },
    store::api_keys::{self, ApiKey, NewApiKey},
};
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create an API key and print its token, which is shown only once.
    Create {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
        /// What it is for.
        #[arg(long)]
        name: String,
        /// What it may do, such as `jobs:write`; repeat it for more. docs/access.md lists the scopes.
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
        scopes: Vec<KeyScope>,
        /// When it expires, in days from now, 1 to 365; never by default.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LIFETIME_DAYS)))]
        expires_in_days: Option<u32>,
        /// An address range that it may be used from, in CIDR notation; repeat it for more.
        #[arg(long = "address-range", value_name = "RANGE")]
        ranges: Vec<AddressRange>,
    },
    /// List the API keys of a tenant that are not revoked, newest first.
    List {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
    },
    /// Give a key a new token and print it.
    Rotate {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
        /// The key's id, as `list` prints it.
        id: ApiKeyId,
        /// How long the old token stays valid, at most a week (604800).
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(0..=604_800))]
        grace_seconds: u32,
    },
    /// Revoke a key.
    Revoke {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
        /// The key's id, as `list` prints it.
        id: ApiKeyId,
    },
}

pub(super) async fn run(pool: &PgPool, command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create {
            tenant,
            name,
            scopes,
            expires_in_days,
            ranges,
        } => {
            ensure!(
                ranges.len() <= MAX_RANGES,
                "give at most {MAX_RANGES} address ranges"
            );
            let new = NewApiKey {
                name: Name::parse(&name, MAX_NAME)
                    .context("the name cannot be used")?
                    .as_str()
                    .to_owned(),
                scopes: scopes.into_iter().collect(),
                ranges,
                lifetime: expires_in_days.map(|days| TimeDelta::days(days.into())),
                created_by: None,
            };
            let actor = shell(pool, &tenant).await?;
            let issued = create_key(pool, actor, &new).await?;
            print_token("Created", &issued)
        }
        KeyCommand::List { tenant } => list(pool, &tenant).await,
        KeyCommand::Rotate {
            tenant,
            id,
            grace_seconds,
        } => {
            let grace = Duration::from_secs(grace_seconds.into()).min(MAX_ROTATION_GRACE);
            let actor = shell(pool, &tenant).await?;
            let issued = rotate_key(pool, actor, id, grace).await?;
            print_token("Rotated", &issued)
        }
        KeyCommand::Revoke { tenant, id } => {
            let actor = shell(pool, &tenant).await?;
            announced(pool, async |notifier| {
                revoke_key(pool, notifier, actor, id).await
            })
            .await?;
            print(&format!("key {id} is revoked"))
        }
    }
}

async fn shell(pool: &PgPool, tenant: &TenantSlug) -> anyhow::Result<TenantActor<'static>> {
    let tenant = tenant_id(pool, tenant).await?;
    Ok(TenantActor::Shell { tenant })
}

async fn list(pool: &PgPool, tenant: &TenantSlug) -> anyhow::Result<()> {
    let tenant = tenant_id(pool, tenant).await?;
    let mut conn = pool
        .acquire()
        .await
        .context("could not connect to the database")?;
    let keys = api_keys::list(&mut conn, tenant)
        .await
        .context("could not read the keys")?;
    if keys.is_empty() {
        return print("no keys");
    }
    keys.iter().try_for_each(|key| print(&line(key)))
}

fn line(key: &ApiKey) -> String {
    let date = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(
            || "never".to_owned(),
            |at| at.format("%Y-%m-%d").to_string(),
        )
    };
    format!(
        "{} …{} {:?}: {}; last used {}, expires {}",
        key.id,
        key.last4,
        key.name,
        key.scopes.join(" "),
        date(key.last_used_at),
        date(key.expires_at),
    )
}

/// Only the token goes to stdout, so that `$(…)` captures it; the rest is for the person.
fn print_token(done: &str, issued: &Issued) -> anyhow::Result<()> {
    eprintln!(
        "{done} key {}. This is the only copy of its token:",
        issued.key.id
    );
    print(issued.token.expose())
}

fn scope(text: &str) -> Result<KeyScope, String> {
    KeyScope::parse(text).ok_or_else(|| {
        let known: Vec<_> = KeyScope::ALL.iter().map(|scope| scope.as_str()).collect();
        format!("use one of {}", known.join(", "))
    })
}
