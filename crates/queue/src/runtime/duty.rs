//! Periodic work of all workers together: each [`Duty`] is done by one of them per tick, elected in Postgres.

use super::engine::Engine;
use crate::{
    claim::dead_tuples,
    operate::{duties, retention, workers},
    view::stats,
};
use async_trait::async_trait;
use std::time::Duration;

/// One kind of periodic work. It does one small batch after another and bears being cut short: what it could not do is
/// left to its next tick.
#[async_trait]
pub trait Duty: Send + Sync + 'static {
    /// Stored in Postgres, where the workers elect one of them by it.
    fn name(&self) -> &'static str;

    /// The time from one tick to the next.
    fn every(&self) -> Duration;

    /// Does the duty's work of one tick.
    async fn run(&self, engine: &Engine) -> Result<(), sqlx::Error>;

    /// Called after each tick with the time it took: the place to ask for a longer rest.
    async fn rest(&self, _engine: &Engine, _took: Duration) -> Result<(), sqlx::Error> {
        Ok(())
    }
}

/// Counts the queues for everybody's metrics.
pub struct SampleQueues;

#[async_trait]
impl Duty for SampleQueues {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn every(&self) -> Duration {
        // As often as Prometheus scrapes by default.
        Duration::from_secs(15)
    }

    async fn run(&self, engine: &Engine) -> Result<(), sqlx::Error> {
        let queues: Vec<String> = engine
            .registry
            .queues()
            .into_iter()
            .map(str::to_owned)
            .collect();
        stats::sample(&engine.queue_pool, &queues).await
    }

    /// Counting takes long where vacuum may not remove dead tuples: it is done less often then.
    async fn rest(&self, engine: &Engine, took: Duration) -> Result<(), sqlx::Error> {
        let rest = dead_tuples::rest(took);
        if rest > self.every() {
            duties::put_off(&engine.queue_pool, self.name(), rest).await?;
        }
        Ok(())
    }
}

/// Deletes finished jobs after their retention, and workers that were not heard of for long.
pub struct PruneFinished {
    /// How long finished jobs are kept.
    pub retention: Duration,
}

/// Finished jobs deleted per statement.
const PRUNED_AT_ONCE: u32 = 500;

#[async_trait]
impl Duty for PruneFinished {
    fn name(&self) -> &'static str {
        "prune_jobs"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(300)
    }

    async fn run(&self, engine: &Engine) -> Result<(), sqlx::Error> {
        let pool = &engine.pool;
        in_batches(PRUNED_AT_ONCE, || {
            retention::prune_finished(pool, self.retention, PRUNED_AT_ONCE)
        })
        .await?;
        workers::prune(pool).await.map(|_| ())
    }
}

/// Repeats until a batch was not full.
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
