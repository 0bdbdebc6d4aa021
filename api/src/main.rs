//! `postroom-api`: parses the command line and runs the command.

use api::cli::{self, Cli};
use base::{db, telemetry::chain};
use clap::Parser;
use std::process::ExitCode;

/// glibc's malloc and free were an eighth of what the API does for a request. See BENCHMARKS.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let needs_owner = cli.needs_owner();
    match cli::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not have started, or a person is at a terminal: print the chain of causes.
            eprintln!("postroom-api: {}", chain(error.as_ref()));
            if let Some(advice) = db::advice(error.as_ref(), needs_owner) {
                eprintln!("{advice}");
            }
            ExitCode::FAILURE
        }
    }
}
