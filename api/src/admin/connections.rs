//! The stored secrets from the command line: `admin reseal` and `admin connections forget-key`.

use super::{announced, print};
use anyhow::{Context, bail, ensure};
use base::db::PgPool;
use clap::Subcommand;
use jobs::{
    commands::{
        operators::Operator,
        secrets::{forget_key, reseal},
    },
    secrets::KeyRing,
    store::sealing::keys_in_use,
};

#[derive(Debug, Subcommand)]
pub enum ConnectionCommand {
    /// Erase the secrets that a lost key seals: users enter those of their connections again, and enrol new second factors.
    ForgetKey {
        /// The key's id in `CREDENTIAL_KEYS`.
        id: String,
    },
}

pub(super) async fn run(
    pool: &PgPool,
    keys: Option<&KeyRing>,
    ConnectionCommand::ForgetKey { id }: ConnectionCommand,
) -> anyhow::Result<()> {
    let keys = keys.context("set CREDENTIAL_KEYS to the keys that the service has")?;
    ensure!(
        !keys.holds(&id),
        "CREDENTIAL_KEYS holds the key {id}: it is not lost"
    );
    let forgotten = announced(pool, async |notifier| forget_key(pool, notifier, &id).await)
        .await
        .context("could not erase every secret")?;
    print(&format!(
        "{} connection(s) need their secret again; {} second factor(s) removed; {} exchange(s) with models deleted",
        forgotten.connections, forgotten.second_factors, forgotten.captures
    ))
}

pub(super) async fn reseal_all(
    pool: &PgPool,
    keys: Option<&KeyRing>,
    operator: Operator<'_>,
) -> anyhow::Result<()> {
    let keys = keys.context("set CREDENTIAL_KEYS to the new key and the older ones")?;
    let done = reseal(pool, keys, operator)
        .await
        .context("could not seal every secret anew; run it again")?;
    let needed = keys_in_use(pool)
        .await
        .context("could not read which keys are needed")?;
    let needed: Vec<_> = needed
        .iter()
        .map(|key| {
            let (id, connections, factors) = (&key.id, key.connections, key.second_factors);
            let captures = key.captures;
            format!(
                "{id} ({connections} connection(s), {factors} second factor(s), {captures} exchange(s) with models)"
            )
        })
        .collect();
    let needed = if needed.is_empty() {
        "no key, because nothing is sealed".to_owned()
    } else {
        needed.join(", ")
    };
    print(&format!(
        "{} secret(s) sealed anew; needed from now on: {needed}",
        done.sealed
    ))?;
    for left in &done.unopened {
        print(&format!("{} does not open: {}", left.row, left.source))?;
    }
    if !done.unopened.is_empty() {
        bail!(
            "{} secret(s) do not open and stay as they are",
            done.unopened.len()
        );
    }
    Ok(())
}
