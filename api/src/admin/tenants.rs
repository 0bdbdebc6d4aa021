//! The life of a tenant from the command line: `admin tenant pause`, `resume`, `close`, `export` and `erase`.

use super::{announced, print, tenant_id};
use base::db::PgPool;
use clap::Subcommand;
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
        /// The tenant's short name.
        tenant: TenantSlug,
    },
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
            let rows = erase_tenant(pool, tenant_id(pool, &tenant).await?).await?;
            print(&format!(
                "tenant {} is erased: {rows} rows were deleted",
                tenant.as_str()
            ))
        }
    }
}
