//! `postroom-api`: parses the command line and runs the command.

use api::{
    cli::{self, Cli},
    output::OutputClosed,
};
use base::{db, telemetry::chain};
use clap::Parser;
use std::process::ExitCode;

/// glibc's malloc and free were an eighth of what the API does for a request. See BENCHMARKS.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a shell shows of a command that a closed pipe ended. Rust ignores the signal itself.
const ENDED_BY_SIGPIPE: u8 = 128 + 13;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let needs_owner = cli.needs_owner();
    match cli::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<OutputClosed>() => ExitCode::from(ENDED_BY_SIGPIPE),
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
