//! The proof of the audit log from the command line: `admin audit verify`, `head` and `export`.

use super::{print, tenant_id};
use anyhow::Context;
use base::db::PgPool;
use clap::Subcommand;
use jobs::{
    commands::audit::verify::{export, verify},
    domain::{
        audit::seal::{Head, SealHash},
        invite::TenantSlug,
    },
    store::audit_seals,
};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Compare every sealed entry of all tenants with its seal, and exit with 1 at the first fault.
    Verify {
        /// A head that was kept elsewhere, as `head` prints it: the log must still contain it.
        #[arg(long, value_parser = head)]
        head: Option<Head>,
    },
    /// Print the number and the chain of the newest seal, to be kept elsewhere.
    Head,
    /// Print the sealed entries of a tenant and their seals as JSON Lines, which can be verified offline.
    Export {
        /// The tenant's short name.
        #[arg(long)]
        tenant: TenantSlug,
    },
}

pub(super) async fn run(pool: &PgPool, command: AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify { head } => {
            let verified = verify(pool, head).await?;
            let Head { number, chain } = verified.head;
            print(&format!(
                "{} entries are as they were sealed; the head is {number}:{chain}",
                verified.entries
            ))
        }
        AuditCommand::Head => {
            let mut conn = pool
                .acquire()
                .await
                .context("could not connect to the database")?;
            let Head { number, chain } = audit_seals::head(&mut conn)
                .await
                .context("could not read the newest seal")?;
            print(&format!("{number}:{chain}"))
        }
        AuditCommand::Export { tenant } => {
            let tenant = tenant_id(pool, &tenant).await?;
            export(pool, tenant, |line| print(&line)).await
        }
    }
}

fn head(text: &str) -> Result<Head, &'static str> {
    const SHAPE: &str =
        "use the head as `admin audit head` prints it: a number, a colon and 64 hex digits";
    let (number, chain) = text.split_once(':').ok_or(SHAPE)?;
    let number = number.parse().map_err(|_| SHAPE)?;
    if chain.len() != 64 || !chain.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(SHAPE);
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&chain[2 * index..2 * index + 2], 16).map_err(|_| SHAPE)?;
    }
    let chain = SealHash(bytes);
    Ok(Head { number, chain })
}
