//! Limits on running jobs from the command line: `admin limits list`, `set` and `remove`.

use super::{announced, operator, print};
use anyhow::{Context, bail, ensure};
use base::db::PgPool;
use clap::Subcommand;
use jobs::{
    commands::operators::{remove_limit, set_limit},
    domain::invite::TenantSlug,
    kinds,
    store::tenants,
};
use queue::operate::limits::{self, Limit, RANGE, Scope};

#[derive(Debug, Subcommand)]
pub enum LimitCommand {
    /// List the limits on running jobs.
    List,
    /// Limit how many jobs of a queue, a kind or a tenant run at once, on all workers together.
    Set {
        /// What is limited: `queue`, `kind` or `tenant`.
        #[arg(value_parser = scope)]
        scope: Scope,
        /// A queue, a kind, a tenant's short name, or `*` for each tenant without a limit of its own.
        name: String,
        /// The most jobs that may run at once, 1 to 100000.
        max_running: i32,
    },
    /// Delete a limit.
    Remove {
        /// What is limited: `queue`, `kind` or `tenant`.
        #[arg(value_parser = scope)]
        scope: Scope,
        /// The name that the limit was set for.
        name: String,
    },
}

pub(super) async fn run(
    pool: &PgPool,
    operators: Option<&TenantSlug>,
    command: LimitCommand,
) -> anyhow::Result<()> {
    match command {
        LimitCommand::List => list(pool).await,
        LimitCommand::Set {
            scope,
            name,
            max_running,
        } => {
            ensure!(
                RANGE.contains(&max_running),
                "use a limit of {} to {} running jobs",
                RANGE.start(),
                RANGE.end()
            );
            let limit = Limit {
                scope,
                name: known(pool, scope, &name).await?,
                max_running,
            };
            let operator = operator(pool, operators).await?;
            announced(pool, async |notifier| {
                set_limit(pool, notifier, operator, &limit).await
            })
            .await
            .context("could not set the limit")?;
            print(&line(&limit))
        }
        LimitCommand::Remove { scope, name } => {
            let operator = operator(pool, operators).await?;
            // A tenant may be named as in the list, also when it is closed by now.
            let removed = announced(pool, async |notifier| {
                if remove_limit(pool, notifier, operator, (scope, &name)).await? {
                    return Ok(true);
                }
                let name = known(pool, scope, &name).await?;
                anyhow::Ok(remove_limit(pool, notifier, operator, (scope, &name)).await?)
            })
            .await
            .context("could not remove the limit")?;
            ensure!(removed, "{} {name} has no limit", scope.as_str());
            print(&format!("{} {name} has no limit any more", scope.as_str()))
        }
    }
}

async fn list(pool: &PgPool) -> anyhow::Result<()> {
    let mut conn = pool
        .acquire()
        .await
        .context("could not connect to the database")?;
    let all = limits::list(&mut conn)
        .await
        .context("could not read the limits")?;
    if all.is_empty() {
        return print("no limits");
    }
    all.iter().try_for_each(|limit| print(&line(limit)))
}

fn line(limit: &Limit) -> String {
    let Limit {
        scope,
        name,
        max_running,
    } = limit;
    format!("{} {name}: at most {max_running} running", scope.as_str())
}

fn scope(text: &str) -> Result<Scope, &'static str> {
    Scope::parse(text).ok_or("use queue, kind or tenant")
}

/// Resolves the name to the one that claims use. A mistyped name would limit nothing.
async fn known(pool: &PgPool, scope: Scope, name: &str) -> anyhow::Result<String> {
    let among = |all: &[&str]| -> anyhow::Result<String> {
        let what = scope.as_str();
        ensure!(
            all.contains(&name),
            "there is no {what} {name}; use one of: {}",
            all.join(", ")
        );
        Ok(name.to_owned())
    };
    match scope {
        Scope::Queue => among(&kinds::queues()),
        Scope::Kind => among(&kinds::names()),
        Scope::Tenant if name == "*" => Ok(name.to_owned()),
        Scope::Tenant => {
            let slug: TenantSlug = name.parse()?;
            let mut conn = pool
                .acquire()
                .await
                .context("could not connect to the database")?;
            let found = tenants::find(&mut conn, slug.as_str()).await;
            match found.context("could not look for the tenant")? {
                Some(tenant) => Ok(tenant.to_string()),
                None => bail!("there is no tenant {name}"),
            }
        }
    }
}
