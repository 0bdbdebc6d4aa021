//! Takes jobs back from dead workers when the poll has seen expired leases.
//!
//! Not a duty: no worker is elected for it, because rows that another worker is rescuing are skipped.

use super::Engine;
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
        let since = *expired.borrow_and_update();
        match timeout(RESCUE_TIMEOUT, rescue(&engine, since)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "could not rescue jobs; trying again");
            }
            Err(_) => tracing::warn!("rescuing jobs took too long; trying again"),
        }
    }
}

async fn rescue(engine: &Engine, since: Option<DateTime<Utc>>) -> Result<(), sqlx::Error> {
    loop {
        let rescued = rescue_recorded(&engine.pool, &engine.recorder, since, BATCH).await?;
        for job in &rescued {
            announce(engine, job);
        }
        if rescued.len() < BATCH as usize {
            return Ok(());
        }
    }
}

fn announce(engine: &Engine, job: &Rescued) {
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
