//! `cargo dev bench`: measures the queue on this machine, and bare SQL on the same Postgres as a baseline.
//!
//! Each benchmark is a module: it measures the queue and its baselines in turn, in the same run, and returns
//! [`report::Finding`]s. BENCHMARKS.md has the figures. Always measures release code, on a temporary Postgres with default
//! settings.

mod backlog;
mod bench_cluster;
mod costs;
mod drain;
mod enqueue;
mod error;
mod fill;
mod finished;
mod graphile;
mod http;
mod idle;
mod llm;
mod mail_server;
mod memory;
mod mixed;
mod model_server;
mod noop;
mod pickup;
mod pinned;
mod raw;
mod release;
mod report;
mod sql;
mod statistics;
mod watch;
mod worker_process;
mod workers;

pub use error::BenchError;
pub use worker_process::{COMMAND as WORKER_COMMAND, serve as serve_worker};

use crate::say;
use bench_cluster::BenchCluster;
use clap::{Args, ValueEnum};
use report::{Finding, table};
use std::time::Duration;

/// Which benchmarks to run, and how long.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The benchmarks to run; all by default.
    #[arg(value_enum)]
    benches: Vec<Bench>,
    /// Number of measurements per figure; the median is reported.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Print one line of JSON per figure; the tables go to standard error.
    #[arg(long)]
    json: bool,
    /// Measure another queue in the same run; it is fetched if missing.
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// Do a tenth of the work in three runs: checks that the benchmarks work, without meaningful figures.
    #[arg(long)]
    quick: bool,
    /// Measure the build at hand, although figures of a debug build are no promise.
    #[arg(long)]
    debug: bool,
    /// Slots of the measured worker (`WORKER_SLOTS`).
    #[arg(long, default_value_t = 2000)]
    slots: u32,
    /// How long `pinned` keeps the other transaction open.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// Drain a backlog of no-op jobs; also reports WAL bytes, commits and dead tuples per job.
    Drain,
    /// Enqueue jobs one by one on 1, 8 and 32 connections, and in batches of a thousand.
    Enqueue,
    /// Time from the enqueue into an idle queue to the start of the handler.
    Pickup,
    /// Statements and connections of an idle worker.
    Idle,
    /// Submit emails over HTTP from 32 clients.
    Http,
    /// Enqueue and process at the same time.
    Mixed,
    /// Time of a claim with 1,000 to 1,000,000 waiting jobs.
    Backlog,
    /// Drain with 5,000,000 finished rows.
    Finished,
    /// Drain with 1, 2 and 4 worker processes.
    Workers,
    /// Memory of a worker with 1,000 jobs that wait for a model.
    Memory,
    /// Time from an email's arrival in a watched mailbox to its job; memory and connections of 200 watched mailboxes.
    Watch,
    /// What a job adds to its call to a model, with 200 calls of two seconds under way.
    Llm,
    /// Ten minutes of load while a long transaction blocks vacuum.
    Pinned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    GraphileWorker,
}

/// The settings of a run.
#[derive(Clone, Copy, Debug)]
struct Settings {
    runs: usize,
    /// Jobs of a backlog to drain.
    jobs: u64,
    /// Duration of one enqueue measurement.
    window: Duration,
    slots: u32,
    minutes: u64,
    peer: bool,
    quick: bool,
}

impl Settings {
    fn of(args: &BenchArgs) -> Self {
        Self {
            runs: if args.quick {
                args.runs.min(3)
            } else {
                args.runs.max(1)
            },
            jobs: if args.quick { 10_000 } else { 100_000 },
            window: Duration::from_millis(if args.quick { 500 } else { 2_000 }),
            slots: args.slots,
            minutes: args.minutes,
            peer: args.peer == Some(Peer::GraphileWorker),
            quick: args.quick,
        }
    }
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If a benchmark fails, or its figure would be meaningless.
pub async fn run(args: BenchArgs) -> Result<u8, BenchError> {
    if cfg!(debug_assertions) && !args.debug {
        return release::again().await;
    }
    let settings = Settings::of(&args);
    let bench = BenchCluster::start().await?;
    let benches = match args.benches.as_slice() {
        [] => Bench::value_variants(),
        some => some,
    };
    let mut findings = Vec::new();
    for kind in benches {
        let found = Box::pin(kind.measure(&bench, &settings)).await?;
        let shown = table(&found);
        if args.json {
            eprintln!("{shown}\n");
        } else {
            say::line(format!("{shown}\n"));
        }
        findings.extend(found);
    }
    if args.json {
        findings
            .iter()
            .for_each(|finding| say::line(finding.line()));
    }
    Ok(0)
}

impl Bench {
    async fn measure(
        self,
        bench: &BenchCluster,
        settings: &Settings,
    ) -> Result<Vec<Finding>, BenchError> {
        match self {
            Self::Drain => drain::measure(bench, settings).await,
            Self::Enqueue => enqueue::measure(bench, settings).await,
            Self::Pickup => pickup::measure(bench, settings).await,
            Self::Idle => idle::measure(bench, settings).await,
            Self::Http => http::measure(bench, settings).await,
            Self::Mixed => mixed::measure(bench, settings).await,
            Self::Backlog => backlog::measure(bench, settings).await,
            Self::Finished => finished::measure(bench, settings).await,
            Self::Workers => workers::measure(bench, settings).await,
            Self::Memory => memory::measure(bench, settings).await,
            Self::Watch => watch::measure(bench, settings).await,
            Self::Llm => llm::measure(bench, settings).await,
            Self::Pinned => pinned::measure(bench, settings).await,
        }
    }
}

/// Prints the progress of a benchmark.
fn progress(bench: &str, run: usize, said: impl std::fmt::Display) {
    eprintln!("{bench} {}: {said}", run + 1);
}
