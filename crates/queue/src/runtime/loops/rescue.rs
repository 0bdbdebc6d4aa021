//! The rescue loop: takes jobs back from dead workers when a poll has found expired leases.
//!
//! Not a duty: it needs no election, because rows that another worker is rescuing are skipped.

use crate::runtime::engine::Engine;
use crate::{runtime::recorder::rescue_recorded, settle::rescue::Rescued};
use base::telemetry::chain;
use chrono::{DateTime, Utc};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Jobs rescued per transaction.
const BATCH: u32 = 500;
const RESCUE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(engine: Arc<Engine>) {
    let mut expired = engine.expired.subscribe();
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            changed = expired.changed() => if changed.is_err() { return },
        }
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            () = tokio::time::sleep(engine.database.rescue_delay()) => {}
        }
        let since = *expired.borrow_and_update();
        match timeout(RESCUE_TIMEOUT, rescue(&engine, since)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "could not rescue jobs; retrying");
            }
            Err(_) => tracing::warn!("rescuing jobs timed out; retrying"),
        }
    }
}

async fn rescue(engine: &Engine, since: Option<DateTime<Utc>>) -> Result<(), sqlx::Error> {
    loop {
        let rescued = rescue_recorded(&engine.pool, &engine.recorder, since, BATCH).await?;
        for job in &rescued {
            notify(engine, job);
        }
        if rescued.len() < BATCH as usize {
            return Ok(());
        }
    }
}

fn notify(engine: &Engine, job: &Rescued) {
    let outcome = match job {
        Rescued { poisoned: true, .. } => "discarded",
        Rescued {
            superseded: true, ..
        }
        | Rescued {
            cancel_requested: true,
            ..
        } => "cancelled",
        _ => "retried",
    };
    engine
        .metrics
        .jobs_rescued_total
        .with_label_values(&[outcome])
        .inc();
    tracing::warn!(job.id = %job.job, attempt = job.attempt, outcome, "rescued a job from a worker that stopped");
    if job.poisoned {
        // No attempt of it ends in an executor, and an alert watches the jobs that were discarded.
        let finished = &engine.metrics.jobs_finished_total;
        finished.with_label_values(&[&job.kind, outcome]).inc();
    }
    if let Some(older) = job.superseded_job {
        engine.notifier.job_finished(older);
    }
    if job.poisoned || job.superseded || job.cancel_requested {
        engine.notifier.job_finished(job.job);
    } else {
        engine.wake(&job.queue);
        engine.notifier.job_available(&job.queue);
    }
}
