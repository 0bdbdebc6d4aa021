//! `postroom-dev`, run as `cargo dev`: reads the command line and calls the command.

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Try Postroom on this machine: nothing has to be installed or set up before.
#[derive(Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all tests on a Postgres that is thrown away afterwards.
    #[command(disable_help_flag = true)]
    Test {
        /// For the test runner; --full is ours and also runs the checks against a real Prometheus and the registries.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("cargo dev: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Test { args } => dev::test::run(args).await.context("the tests did not run"),
    }
}
