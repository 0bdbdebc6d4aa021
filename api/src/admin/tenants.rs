//! The life of a tenant from the command line: `admin tenant pause`, `resume` and `close`.

use super::{announced, print, tenant_id};
use base::db::PgPool;
use clap::Subcommand;
use jobs::{
    commands::tenants::{close_tenant, pause_tenant, resume_tenant},
    domain::invite::TenantSlug,
};

#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Pauses a tenant: it can be read, accepts nothing, and none of its jobs starts.
    Pause { tenant: TenantSlug },
    /// Resumes a paused tenant.
    Resume { tenant: TenantSlug },
    /// Closes a tenant for good: nobody and no API key gets in, and nothing runs. Its rows stay.
    Close { tenant: TenantSlug },
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
    }
}
