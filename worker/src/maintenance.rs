//! Periodic work of the fleet: each duty is done by one worker per tick, elected in Postgres.
//!
//! A duty does one small batch after another and bears being cut short. What it could not do is left to its next tick.

use crate::engine::Engine;
use chrono::{DateTime, Utc};
use jobs::{
    commands::{
        carry_out, effect_ledger, expire_approvals, keep_memory::sweep_memory,
        keep_schedule::expire_blocks, rescue_jobs,
    },
    queue::{duties, litter, rescue::Rescued, retention, stats, workers},
    store::{
        approvals, blocks, effects, llm_checkpoints, login_failures, memory_items, request_keys,
        sessions,
    },
    telemetry::chain,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

const BATCH: u32 = 500;
/// No duty may hold up the others for longer.
const DUTY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// The queue is counted, for everybody's metrics.
    Sample,
    /// Finished jobs age out, model answers that jobs left behind, and workers that were not heard of for long.
    PruneJobs,
    /// Sessions that ended long ago age out, and failed logins that no longer count.
    PurgeSessions,
    /// Answers that are no longer replayed age out.
    PurgeRequestKeys,
    /// Approvals that nobody decided in time lapse.
    ExpireApprovals,
    /// Effects whose attempt died are told apart: not done, or unknown; approvals whose job ended without a word are ended.
    LoseEffects,
    /// Items of the memory expire, and are purged some time after they have ended.
    SweepMemory,
    /// Blocks of the day whose time passed before anybody decided lapse.
    ExpireBlocks,
}

impl Duty {
    const ALL: [Self; 8] = [
        Self::Sample,
        Self::PruneJobs,
        Self::PurgeSessions,
        Self::PurgeRequestKeys,
        Self::ExpireApprovals,
        Self::LoseEffects,
        Self::SweepMemory,
        Self::ExpireBlocks,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::PruneJobs => "prune_jobs",
            Self::PurgeSessions => "purge_sessions",
            Self::PurgeRequestKeys => "purge_request_keys",
            Self::ExpireApprovals => "expire_approvals",
            Self::LoseEffects => "lose_effects",
            Self::SweepMemory => "sweep_memory",
            Self::ExpireBlocks => "expire_blocks",
        }
    }

    const fn every(self) -> Duration {
        match self {
            // As often as Prometheus asks by default.
            Self::Sample => Duration::from_secs(15),
            Self::LoseEffects => Duration::from_secs(30),
            // A decision that comes too late is refused at once, whenever this runs.
            Self::ExpireApprovals | Self::ExpireBlocks => Duration::from_secs(60),
            // What has expired is not read any more, whenever this runs.
            Self::PruneJobs | Self::PurgeSessions | Self::PurgeRequestKeys | Self::SweepMemory => {
                Duration::from_secs(300)
            }
        }
    }
}

/// The duties' names, as the look at the queue asks for them.
pub(crate) fn names() -> Vec<String> {
    Duty::ALL.map(|duty| duty.name().to_owned()).to_vec()
}

/// Takes jobs back from dead workers, and offers this worker for every duty, when the look at the queue finds some to do.
pub async fn run(engine: Arc<Engine>) {
    let duties = Duty::ALL.map(|duty| (duty.name(), duty.every()));
    let mut expired = engine.expired.subscribe();
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            // Not elected: rows that another worker is rescuing are skipped.
            Ok(()) = expired.changed() => {
                let since = *expired.borrow_and_update();
                match timeout(DUTY_TIMEOUT, rescue(&engine, since)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(error = chain(&error), "could not rescue jobs; trying again"),
                    Err(_) => tracing::warn!("rescuing jobs took too long; trying again"),
                }
                continue;
            }
            () = engine.duty_due.notified() => {}
        }
        let elected = match duties::take_due(&engine.queue_pool, engine.worker, &duties).await {
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
            let started = Instant::now();
            let fulfilled = timeout(DUTY_TIMEOUT, fulfil(&engine, duty)).await;
            rest_after(&engine, duty, started.elapsed()).await;
            match fulfilled {
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

/// Counting the queue takes long where vacuum may not remove what is gone: it is done the more seldom.
async fn rest_after(engine: &Engine, duty: Duty, took: Duration) {
    let rest = litter::rest(took);
    if duty == Duty::Sample
        && rest > duty.every()
        && let Err(error) = duties::put_off(&engine.queue_pool, duty.name(), rest).await
    {
        tracing::warn!(%error, duty = duty.name(), "could not put a maintenance duty off");
    }
}

async fn fulfil(engine: &Engine, duty: Duty) -> Result<(), sqlx::Error> {
    let pool = &engine.pool;
    match duty {
        Duty::Sample => {
            let queues: Vec<String> = engine
                .registry
                .queues()
                .into_iter()
                .map(str::to_owned)
                .collect();
            stats::sample(&engine.queue_pool, &queues).await
        }
        Duty::PruneJobs => {
            in_batches(|| retention::prune_finished(pool, engine.config.retention, BATCH)).await?;
            llm_checkpoints::purge(&mut *pool.acquire().await?).await?;
            workers::prune(pool).await.map(|_| ())
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
        // Asked first, for a transaction that finds nothing is four statements.
        Duty::LoseEffects => {
            if effects::any_open(&engine.queue_pool).await? {
                in_batches(|| effect_ledger::lose(pool, BATCH)).await?;
            }
            if approvals::any_in_hand(&engine.queue_pool).await? {
                in_batches(|| carry_out::abandon(pool, BATCH)).await?;
            }
            Ok(())
        }
        Duty::ExpireApprovals if approvals::any_lapsed(&engine.queue_pool).await? => {
            let expired = &engine.metrics.approvals_expired_total;
            in_batches(|| async {
                expire_approvals(pool, BATCH)
                    .await
                    .inspect(|count| expired.inc_by(*count))
            })
            .await
        }
        Duty::SweepMemory if memory_items::any_due(&engine.queue_pool).await? => {
            in_batches(|| sweep_memory(pool, BATCH)).await
        }
        Duty::ExpireBlocks if blocks::any_past(&engine.queue_pool).await? => {
            in_batches(|| expire_blocks(pool, BATCH)).await
        }
        Duty::ExpireApprovals | Duty::SweepMemory | Duty::ExpireBlocks => Ok(()),
    }
}

async fn rescue(engine: &Engine, since: Option<DateTime<Utc>>) -> Result<(), sqlx::Error> {
    loop {
        let rescued = rescue_jobs(&engine.pool, since, BATCH).await?;
        for job in &rescued {
            let outcome = match job {
                Rescued { poisoned: true, .. } => "discarded",
                Rescued {
                    superseded: true, ..
                }
                | Rescued { unwanted: true, .. } => "cancelled",
                _ => "retried",
            };
            engine
                .metrics
                .jobs_rescued_total
                .with_label_values(&[outcome])
                .inc();
            tracing::warn!(job.id = %job.job, attempt = job.attempt, outcome, "took a job back from a worker that stopped");
            if let Some(older) = job.in_place_of {
                engine.notifier.job_finished(older);
            }
            if job.poisoned || job.superseded || job.unwanted {
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
