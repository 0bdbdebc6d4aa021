//! The life of a tenant from the command line: `admin tenant pause`, `resume`, `close`, `export` and `erase`.

use super::{announced, print, tenant_id};
use anyhow::Context;
use base::{TenantId, db::PgPool};
use clap::{Args, Subcommand};
use jobs::{
    commands::tenants::{
        close_tenant,
        erase::{erase_tenant, export_tenant},
        pause_tenant, resume_tenant,
    },
    domain::invite::TenantSlug,
};

#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Pause a tenant: it can be read, accepts nothing, and none of its jobs starts.
    Pause {
        /// The tenant's short name.
        tenant: TenantSlug,
    },
    /// Resume a paused tenant.
    Resume {
        /// The tenant's short name.
        tenant: TenantSlug,
    },
    /// Close a tenant for good: block all its users and API keys, and run nothing. Its rows stay.
    Close {
        /// The tenant's short name.
        tenant: TenantSlug,
    },
    /// Print all rows of a tenant as JSON Lines, without secrets.
    Export {
        /// The tenant's short name.
        tenant: TenantSlug,
    },
    /// Delete all rows of a closed tenant for good, but its audit log. Needs the role that owns the tables.
    Erase {
        #[command(flatten)]
        tenant: NamedTenant,
    },
}

/// A tenant by its short name or, if it was erased before, by its id.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct NamedTenant {
    /// The tenant's short name.
    tenant: Option<TenantSlug>,
    /// The id of a tenant whose name was erased before.
    #[arg(long)]
    id: Option<TenantId>,
}

pub(super) async fn run(pool: &PgPool, command: TenantCommand) -> anyhow::Result<()> {
    match command {
        TenantCommand::Pause { tenant } => {
            pause_tenant(pool, tenant_id(pool, &tenant).await?).await?;
            print(&format!("tenant {} is paused", tenant.as_str()))
        }
        TenantCommand::Resume { tenant } => {
            let id = tenant_id(pool, &tenant).await?;
            announced(pool, async |notifier| {
                resume_tenant(pool, notifier, id).await
            })
            .await?;
            print(&format!("tenant {} is active", tenant.as_str()))
        }
        TenantCommand::Close { tenant } => {
            close_tenant(pool, tenant_id(pool, &tenant).await?).await?;
            print(&format!("tenant {} is closed", tenant.as_str()))
        }
        TenantCommand::Export { tenant } => {
            let tenant = tenant_id(pool, &tenant).await?;
            export_tenant(pool, tenant, |line| print(&line)).await
        }
        TenantCommand::Erase { tenant } => {
            let id = match &tenant.tenant {
                Some(slug) => tenant_id(pool, slug).await?,
                None => tenant.id.context("give the tenant's short name or --id")?,
            };
            let rows = erase_tenant(pool, id).await?;
            print(&format!(
                "tenant {id} is erased: {rows} row(s) were deleted"
            ))
        }
    }
}
