//! `cargo dev bench`: what the queue does on this machine, beside what the same Postgres does without it.
//!
//! Each bench is a module: it measures ours and the yardsticks in turn, in the same run, and returns [`report::Finding`]s.
//! BENCHMARKS.md keeps the figures. Always measures release code, on a throw-away Postgres with its own settings.

mod backlog;
mod costs;
mod drain;
mod enqueue;
mod error;
mod fill;
mod finished;
mod graphile;
mod http;
mod idle;
mod memory;
mod mixed;
mod noop;
mod pickup;
mod pinned;
mod raw;
mod release;
mod report;
mod sql;
mod stand;
mod statistics;
mod worker_process;
mod workers;

pub use error::BenchError;
pub use worker_process::{COMMAND as WORKER_COMMAND, serve as serve_worker};

use crate::say;
use clap::{Args, ValueEnum};
use report::{Finding, table};
use stand::Stand;
use std::time::Duration;

/// What to measure, and how long.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// All of them if none is named.
    #[arg(value_enum)]
    benches: Vec<Bench>,
    /// Measurements of each figure; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// One line of JSON per figure on standard output; the tables go to standard error.
    #[arg(long)]
    json: bool,
    /// Measures another queue beside ours in the same run; it is fetched if it is not there.
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// A tenth of the work, three runs: shows that a bench works, and little else.
    #[arg(long)]
    quick: bool,
    /// Slots of the worker under test (`WORKER_SLOTS`).
    #[arg(long, default_value_t = 2000)]
    slots: u32,
    /// How long `pinned` holds the other transaction open.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// A backlog of no-op jobs to its end, with its WAL bytes, commits and dead tuples per job.
    Drain,
    /// Jobs put in one by one at 1, 8 and 32 connections, and by the thousand.
    Enqueue,
    /// From an enqueue into an idle queue to the start of the handler.
    Pickup,
    /// Statements and connections of a worker that has nothing to do.
    Idle,
    /// Mails handed in over HTTP by 32 clients.
    Http,
    /// Producers and a worker at the same time.
    Mixed,
    /// What a claim costs with 1,000 to 1,000,000 jobs waiting.
    Backlog,
    /// The drain beside 5,000,000 finished rows.
    Finished,
    /// 1, 2 and 4 worker processes.
    Workers,
    /// A worker with 1,000 jobs that wait for a model.
    Memory,
    /// Ten minutes of load while another transaction is held open.
    Pinned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    GraphileWorker,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Settings {
    runs: usize,
    /// In a backlog to drain.
    jobs: u64,
    /// Of one enqueue measurement.
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

/// Measures and tells; returns the exit code.
///
/// # Errors
/// When a bench cannot be measured, or what it measured would mean nothing.
pub async fn run(args: BenchArgs) -> Result<u8, BenchError> {
    if cfg!(debug_assertions) {
        return release::again().await;
    }
    let settings = Settings::of(&args);
    let stand = Stand::start().await?;
    let asked = match args.benches.as_slice() {
        [] => Bench::value_variants(),
        some => some,
    };
    let mut findings = Vec::new();
    for bench in asked {
        let found = Box::pin(bench.measure(&stand, &settings)).await?;
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
    async fn measure(self, stand: &Stand, settings: &Settings) -> Result<Vec<Finding>, BenchError> {
        match self {
            Self::Drain => drain::measure(stand, settings).await,
            Self::Enqueue => enqueue::measure(stand, settings).await,
            Self::Pickup => pickup::measure(stand, settings).await,
            Self::Idle => idle::measure(stand, settings).await,
            Self::Http => http::measure(stand, settings).await,
            Self::Mixed => mixed::measure(stand, settings).await,
            Self::Backlog => backlog::measure(stand, settings).await,
            Self::Finished => finished::measure(stand, settings).await,
            Self::Workers => workers::measure(stand, settings).await,
            Self::Memory => memory::measure(stand, settings).await,
            Self::Pinned => pinned::measure(stand, settings).await,
        }
    }
}

/// Says how far a bench is, for whoever waits.
fn progress(bench: &str, run: usize, said: impl std::fmt::Display) {
    eprintln!("{bench} {}: {said}", run + 1);
}
