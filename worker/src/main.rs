//! `postroom-worker`: reads its configuration, works until it is told to stop.

use anyhow::Context;
use base::{env::Env, telemetry};
use std::process::ExitCode;
use worker::{config::WorkerConfig, run::run};

/// glibc's malloc and free were an eighth of what the API does for a request. See BENCHMARKS.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Before logging started, or a person at a terminal: the chain in plain words.
            eprintln!("postroom-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> anyhow::Result<()> {
    let config = WorkerConfig::from_env(Env::from_process())?;
    telemetry::init(&config.log).context("could not start logging")?;
    run(config).await
}
