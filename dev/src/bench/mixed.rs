//! Producers and a worker at the same time: [`measure`] counts jobs from their enqueue to their settle.

use super::noop::{Jobs, Noop};
use super::raw;
use super::report::Finding;
use super::sql::connect;
use super::stand::Stand;
use super::worker_process::WorkerProcess;
use super::{BenchError, Settings, progress};
use queue::JobKind;
use queue::enqueue::enqueue;
use queue::signals::notifier::Notifier;
use sqlx::PgPool;
use std::time::Instant;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const PRODUCERS: usize = 8;

pub(super) async fn measure(
    stand: &Stand,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let (mut ours, mut yardstick) = (vec![], vec![]);
    for run in 0..settings.runs {
        ours.push(once(stand, settings).await?);
        let bed = stand.bed().await?;
        raw::prepare(&bed).await?;
        yardstick.push(raw::mixed(&bed, PRODUCERS, settings.window * 2).await?);
        bed.clear().await?;
        progress(
            "mixed",
            run,
            format!("ours {:.0}, raw {:.0}", ours[run], yardstick[run]),
        );
    }
    Ok(vec![Finding::new("mixed", "jobs/s", ours).raw(yardstick)])
}

/// Jobs per second from the first enqueue to the last settle.
async fn once(stand: &Stand, settings: &Settings) -> Result<f64, BenchError> {
    let bed = stand.bed().await?;
    let mut worker = WorkerProcess::start(&bed, &stand.places, settings).await?;
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let pool = PgPool::connect(&bed.url).await?;
    let notifier = Notifier::spawn(pool.clone(), &tracker, stop.clone());
    worker.go().await?;
    let mut producers = JoinSet::new();
    let window = settings.window * 2;
    let started = Instant::now();
    for _ in 0..PRODUCERS {
        let (mut connection, notifier) = (connect(&bed.url).await?, notifier.clone());
        producers.spawn(async move {
            let mut source = Jobs::of_tenants(1);
            let mut done: u64 = 0;
            while started.elapsed() < window {
                enqueue(&mut connection, &source.one(None)?).await?;
                notifier.job_available(Noop::QUEUE);
                done += 1;
            }
            Ok::<_, BenchError>(done)
        });
    }
    let mut enqueued = 0;
    while let Some(done) = producers.join_next().await {
        enqueued += done.expect("enqueueing does not panic")?;
    }
    while worker.finished() < enqueued {
        worker.progress().await?;
    }
    let took = started.elapsed();
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    pool.close().await;
    worker.stop().await?;
    bed.clear().await?;
    Ok(enqueued as f64 / took.as_secs_f64())
}
