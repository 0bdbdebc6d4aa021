//! `postroom-api`: reads its command line and carries it out.

use api::cli::{self, Cli};
use clap::Parser;
use std::process::ExitCode;

/// glibc's malloc and free were an eighth of what the API does for a request. See BENCHMARKS.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Before logging started, or a person at a terminal: the chain in plain words.
            eprintln!("postroom-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}
