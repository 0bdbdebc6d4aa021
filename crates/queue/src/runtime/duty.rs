//! Periodic work: one worker of all runs each [`Duty`] per tick, elected in Postgres.

use crate::{
    claim::dead_tuples,
    operate::{
        duties,
        retention::{
            self, Backlog, FinishedJobs,
            walk::{self, WalkPosition},
        },
        workers,
    },
    signals::notifier::Notifier,
    view::stats,
};
use async_trait::async_trait;
use sqlx::PgPool;
use std::time::{Duration, Instant};

/// Periodic work, such as a purge or a report.
///
/// A run may be aborted after 30 s or end with its worker; the next tick continues. Work in small batches. Runs of different
/// duties overlap in a worker, two of the same do not.
#[async_trait]
pub trait Duty: Send + Sync + 'static {
    /// The name under which workers elect one of them, stored in Postgres.
    fn name(&self) -> &'static str;

    /// The time between two ticks.
    fn every(&self) -> Duration;

    /// Runs one tick.
    ///
    /// # Errors
    /// An error is logged, and the next tick runs again.
    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error>;

    /// Whether this deletes what is old: such runs may be long and come one after the other, so that other duties are on time.
    fn is_retention(&self) -> bool {
        false
    }

    /// Called after each tick with the time it took. May postpone the next tick.
    ///
    /// # Errors
    /// An error is logged, and the next tick keeps its time.
    async fn rest(&self, _context: &DutyContext, _took: Duration) -> Result<(), sqlx::Error> {
        Ok(())
    }
}

/// What a duty may use.
#[derive(Clone)]
pub struct DutyContext {
    /// For transactions and the program's own statements.
    pub pool: PgPool,
    /// For single statements; never begin a transaction on it.
    pub queue_pool: PgPool,
    pub notifier: Notifier,
    /// The queues for which the worker has a handler.
    pub queues: Vec<String>,
}

/// Counts the jobs of each queue for the metrics of all processes.
pub struct SampleQueues;

#[async_trait]
impl Duty for SampleQueues {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn every(&self) -> Duration {
        // The default scrape interval of Prometheus.
        Duration::from_secs(15)
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        stats::sample(&context.queue_pool, &context.queues).await
    }

    /// Counts less often while vacuum is blocked, when counting takes long.
    async fn rest(&self, context: &DutyContext, took: Duration) -> Result<(), sqlx::Error> {
        let rest = dead_tuples::rest(took);
        if rest > self.every() {
            duties::postpone(&context.queue_pool, self.name(), rest).await?;
        }
        Ok(())
    }
}

/// Deletes finished jobs after their retention, and workers without a heartbeat.
pub struct PruneFinished {
    retention: Duration,
    position: WalkPosition,
}

impl PruneFinished {
    /// Keeps finished jobs for this time.
    pub fn after(retention: Duration) -> Self {
        Self {
            retention,
            position: WalkPosition::default(),
        }
    }
}

/// How long a retention duty deletes in one run; the duty loop aborts a run at three times that.
pub const RETENTION_BUDGET: Duration = Duration::from_secs(10);
/// The rest after a run that left a backlog, for the other duties.
const BACKLOG_REST: Duration = Duration::from_secs(1);

#[async_trait]
impl Duty for PruneFinished {
    fn name(&self) -> &'static str {
        "prune_jobs"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn is_retention(&self) -> bool {
        true
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let pool = &context.pool;
        let finished = FinishedJobs {
            pool,
            keep: self.retention,
        };
        let pruned = walk::prune(&finished, RETENTION_BUDGET, &self.position).await?;
        retention::prune_samples(pool).await?;
        workers::prune(pool).await?;
        context.report(self.name(), pruned.backlog).await
    }
}

impl DutyContext {
    /// Records how far a retention duty came, and makes it due soon again if it left something.
    pub async fn report(&self, duty: &str, backlog: Backlog) -> Result<(), sqlx::Error> {
        match backlog {
            Backlog::None => duties::caught_up(&self.queue_pool, duty).await,
            Backlog::Some => duties::hurry(&self.queue_pool, duty, BACKLOG_REST).await,
        }
    }
}

/// Repeats a batch until one is not full or `until` is over: [`RETENTION_BUDGET`] after the start of a duty, for all its parts
/// together. Each part has one batch at least.
///
/// # Errors
/// The first error of a batch.
pub async fn delete_in_batches<F>(
    until: Instant,
    full: u32,
    mut batch: impl FnMut() -> F,
) -> Result<Backlog, sqlx::Error>
where
    F: Future<Output = Result<u64, sqlx::Error>>,
{
    while batch().await? >= u64::from(full) {
        if Instant::now() > until {
            return Ok(Backlog::Some);
        }
    }
    Ok(Backlog::None)
}

/// Repeats a batch until one is not full.
///
/// # Errors
/// The first error of a batch.
pub async fn in_batches<F>(full: u32, mut batch: impl FnMut() -> F) -> Result<(), sqlx::Error>
where
    F: Future<Output = Result<u64, sqlx::Error>>,
{
    while batch().await? >= u64::from(full) {}
    Ok(())
}
