//! `postroom-dev`, run as `cargo dev`: parses the command line and runs the command.

use anyhow::Context;
use clap::{Parser, Subcommand};
use dev::{bench, chaos, database, docs, eval, lint, replay, schema, test, triage, up};
use std::process::ExitCode;

/// The allocator of the services, because benchmarks run the worker's engine in this binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Try Postroom on this machine, without installing or configuring anything first.
#[derive(Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start Postgres, the API and a worker, triage sample emails and show the results.
    Up(up::UpArgs),
    /// Triage your own emails: .eml files, mbox files, Maildirs, folders.
    Triage(triage::TriageArgs),
    /// Run all tests, with the programs that they need, on a temporary Postgres.
    Test {
        /// Arguments of the test runner, such as part of a test's name; --full also runs the checks that need Prometheus and
        /// package registries, --fetch only fetches what the tests need.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Measure the queue on a temporary Postgres, with bare SQL as a baseline.
    Bench(bench::BenchArgs),
    /// Run the worker that `bench` measures.
    #[command(name = bench::WORKER_COMMAND, hide = true)]
    BenchWorker,
    /// Kill, crash and disconnect the real binaries under load, then check that every promise was kept.
    Chaos(chaos::ChaosArgs),
    /// Print the pages of docs/ that come from the code: routes, errors, actions, configuration.
    Docs(docs::DocsArgs),
    /// Judge labelled emails with the model that the worker's variables configure; print confusion matrices and the cost.
    Eval(eval::EvalArgs),
    /// Run the model step of a stored job again, with its recorded answers and today's code, and print what differs.
    Replay(replay::ReplayArgs),
    /// Check spelling, licences and sources of dependencies, and unused dependencies.
    Lint,
    /// Open psql on the development database.
    #[command(disable_help_flag = true)]
    Psql {
        /// Arguments of psql.
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
        Command::Test { args } => test::run(args).await.context("could not run the tests")?,
        Command::Bench(args) => Box::pin(bench::run(args)).await?,
        Command::BenchWorker => bench::serve_worker().await.map(|()| 0)?,
        Command::Chaos(args) => Box::pin(chaos::run(args)).await?,
        Command::Docs(args) => docs::run(&args)?,
        Command::Eval(args) => Box::pin(eval::run(args)).await?,
        Command::Replay(args) => Box::pin(replay::run(args)).await?,
        Command::Lint => lint::run()?,
        Command::Psql { args } => database::psql(args).await?,
        Command::Session => database::session().await?,
        Command::Schema => schema::run().await?,
    })
}
