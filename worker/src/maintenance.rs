//! Periodic work of the fleet: each duty is done by one worker per tick, elected in Postgres.
//!
//! A duty does one small batch after another and bears being cut short. What it could not do is left to its next tick.

use crate::engine::Engine;
use jobs::{
    commands::rescue_jobs,
    queue::{duties, retention, stats},
    store::{llm_checkpoints, login_failures, request_keys, sessions},
    telemetry::chain,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval, timeout};

const BATCH: u32 = 500;
/// No duty may hold up the others for longer.
const DUTY_TIMEOUT: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// Jobs of dead workers go back into the queue.
    Rescue,
    /// The queue is counted, for everybody's metrics.
    Sample,
    /// Finished jobs age out, and model answers that jobs left behind.
    PruneJobs,
    /// Sessions that ended long ago age out, and failed logins that no longer count.
    PurgeSessions,
    /// Answers that are no longer replayed age out.
    PurgeRequestKeys,
}

impl Duty {
    const ALL: [Self; 5] = [
        Self::Rescue,
        Self::Sample,
        Self::PruneJobs,
        Self::PurgeSessions,
        Self::PurgeRequestKeys,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Rescue => "rescue",
            Self::Sample => "sample",
            Self::PruneJobs => "prune_jobs",
            Self::PurgeSessions => "purge_sessions",
            Self::PurgeRequestKeys => "purge_request_keys",
        }
    }

    fn every(self, lease: Duration) -> Duration {
        match self {
            // With a lease of 30 s a dead worker's jobs run again within 40 s.
            Self::Rescue => lease / 3,
            Self::Sample => Duration::from_secs(5),
            Self::PruneJobs | Self::PurgeSessions | Self::PurgeRequestKeys => MINUTE,
        }
    }
}

/// Offers this worker for every duty until it stops.
pub async fn run(engine: Arc<Engine>) {
    let lease = engine.config.lease;
    let duties = Duty::ALL.map(|duty| (duty.name(), duty.every(lease)));
    // Often enough that an election is late by a quarter of the shortest interval at most.
    let mut tick = interval((lease / 12).clamp(Duration::from_millis(50), Duration::from_secs(2)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        let elected = match duties::take_due(&engine.pool, engine.worker, &duties).await {
            Ok(elected) => elected,
            Err(error) => {
                tracing::warn!(%error, "could not ask for maintenance duties; trying again");
                continue;
            }
        };
        for duty in Duty::ALL
            .into_iter()
            .filter(|duty| elected.iter().any(|name| name == duty.name()))
        {
            match timeout(DUTY_TIMEOUT, fulfil(&engine, duty)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(
                        duty = duty.name(),
                        error = chain(&error),
                        "maintenance duty failed; left to its next tick"
                    );
                }
                Err(_) => tracing::warn!(
                    duty = duty.name(),
                    "maintenance duty took too long; left to its next tick"
                ),
            }
        }
    }
}

async fn fulfil(engine: &Engine, duty: Duty) -> Result<(), sqlx::Error> {
    let pool = &engine.pool;
    match duty {
        Duty::Rescue => rescue(engine).await,
        Duty::Sample => {
            let queues: Vec<String> = engine
                .registry
                .queues()
                .into_iter()
                .map(str::to_owned)
                .collect();
            stats::sample(pool, &queues).await
        }
        Duty::PruneJobs => {
            in_batches(|| retention::prune_finished(pool, engine.config.retention, BATCH)).await?;
            llm_checkpoints::purge(&mut *pool.acquire().await?)
                .await
                .map(|_| ())
        }
        Duty::PurgeSessions => {
            in_batches(|| async {
                sessions::purge(&mut *pool.acquire().await?, i64::from(BATCH)).await
            })
            .await?;
            login_failures::purge(&mut *pool.acquire().await?)
                .await
                .map(|_| ())
        }
        Duty::PurgeRequestKeys => {
            in_batches(|| async {
                request_keys::purge(&mut *pool.acquire().await?, i64::from(BATCH)).await
            })
            .await
        }
    }
}

async fn rescue(engine: &Engine) -> Result<(), sqlx::Error> {
    loop {
        let rescued = rescue_jobs(&engine.pool, BATCH).await?;
        for job in &rescued {
            let outcome = if job.poisoned { "discarded" } else { "retried" };
            engine
                .metrics
                .jobs_rescued_total
                .with_label_values(&[outcome])
                .inc();
            tracing::warn!(job.id = %job.job, attempt = job.attempt, outcome, "took a job back from a worker that stopped");
            if job.poisoned {
                engine.notifier.job_finished(job.job);
            } else {
                engine.wake(&job.queue);
                engine.notifier.job_available(&job.queue);
            }
        }
        if rescued.len() < BATCH as usize {
            return Ok(());
        }
    }
}

/// Repeats until a batch was not full.
async fn in_batches<F>(mut batch: impl FnMut() -> F) -> Result<(), sqlx::Error>
where
    F: Future<Output = Result<u64, sqlx::Error>>,
{
    while batch().await? >= u64::from(BATCH) {}
    Ok(())
}
