//! `postroom-dev`, run as `cargo dev`: reads the command line and calls the command.

use anyhow::Context;
use clap::{Parser, Subcommand};
use dev::{bench, chaos, database, docs, lint, schema, test, triage, up};
use std::process::ExitCode;

/// As in the services: the benches run the worker's engine in this binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Try Postroom on this machine: nothing has to be installed or set up before.
#[derive(Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start Postgres, the API and a worker, send sample mails through them and show the results.
    Up(up::UpArgs),
    /// Send your own mail through: .eml files, mbox files, Maildirs, folders.
    Triage(triage::TriageArgs),
    /// Run all tests on a Postgres that is thrown away afterwards.
    #[command(disable_help_flag = true)]
    Test {
        /// For the test runner; --full is ours and also runs the checks against a real Prometheus and the registries.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure the queue beside bare SQL on a Postgres that is thrown away afterwards.
    Bench(bench::BenchArgs),
    /// The worker that `bench` measures, in a process of its own.
    #[command(name = bench::WORKER_COMMAND, hide = true)]
    BenchWorker,
    /// Raise a storm of kills, crashes and cut connections over the real binaries, and see whether every promise holds.
    Chaos(chaos::ChaosArgs),
    /// Print the pages of docs/ that come from the code: routes, errors, actions, configuration.
    Docs(docs::DocsArgs),
    /// Check spelling, licences and sources of dependencies, and unused dependencies.
    Lint,
    /// Open psql on the running system's database, or on the kept one.
    #[command(disable_help_flag = true)]
    Psql {
        /// For psql.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Print the token of a new development session.
    Session,
    /// Write migrations/schema.sql: the schema as the migrations leave it.
    Schema,
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
    Ok(match command {
        Command::Up(args) => Box::pin(up::run(args)).await?,
        Command::Triage(args) => Box::pin(triage::run(args)).await?,
        Command::Test { args } => test::run(args).await.context("the tests did not run")?,
        Command::Bench(args) => Box::pin(bench::run(args)).await?,
        Command::BenchWorker => bench::serve_worker().await.map(|()| 0)?,
        Command::Chaos(args) => Box::pin(chaos::run(args)).await?,
        Command::Docs(args) => docs::run(&args)?,
        Command::Lint => lint::run()?,
        Command::Psql { args } => database::psql(args).await?,
        Command::Session => database::session().await?,
        Command::Schema => schema::run().await?,
    })
}
