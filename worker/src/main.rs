//! `postroom-worker`: reads its configuration and runs until it is stopped.

use base::{
    db,
    env::{Env, UnknownVariable},
    telemetry::{self, chain},
};
use clap::Parser;
use std::process::ExitCode;
use worker::{config::WorkerConfig, run::run};

/// glibc's malloc and free took an eighth of the time of an API request. See BENCHMARKS.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The worker of Postroom: claims jobs and runs them until SIGTERM.
///
/// It takes no arguments. Environment variables configure it: `DATABASE_URL`, a model (`LLM_PROVIDER`, `LLM_MODEL`,
/// `LLM_API_KEY`) and those of docs/configuration.md.
#[derive(Parser)]
#[command(name = "postroom-worker", version)]
struct Cli {}

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse();
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not have started yet, so that the cause chain goes to stderr.
            eprintln!("postroom-worker: {}", chain(error.as_ref()));
            if let Some(advice) = db::advice(error.as_ref(), false) {
                eprintln!("{advice}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn start() -> anyhow::Result<()> {
    let config = WorkerConfig::from_env(Env::from_process())?;
    let telemetry = config.telemetry.clone();
    let work = async {
        config.unknown.iter().for_each(UnknownVariable::warn);
        run(config).await
    };
    telemetry::observed(telemetry, "postroom-worker", Box::pin(work)).await
}
