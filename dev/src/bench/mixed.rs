//! Producers and a worker at the same time: [`measure`] measures jobs per second from enqueue to settle.

use super::bench_cluster::BenchCluster;
use super::noop::{Jobs, Noop};
use super::raw;
use super::report::Finding;
use super::sql::connect;
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
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let (mut ours, mut baseline) = (vec![], vec![]);
    for run in 0..settings.runs {
        ours.push(once(bench, settings).await?);
        let database = bench.new_database().await?;
        raw::prepare(&database).await?;
        baseline.push(raw::mixed(&database, PRODUCERS, settings.window * 2).await?);
        database.clear().await?;
        progress(
            "mixed",
            run,
            format!("ours {:.0}, bare SQL {:.0}", ours[run], baseline[run]),
        );
    }
    Ok(vec![Finding::new("mixed", "jobs/s", ours).raw(baseline)])
}

/// Returns jobs per second from the first enqueue to the last settle.
async fn once(bench: &BenchCluster, settings: &Settings) -> Result<f64, BenchError> {
    let database = bench.new_database().await?;
    let mut worker = WorkerProcess::start(&database, &bench.places, settings).await?;
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let pool = PgPool::connect(&database.url).await?;
    let notifier = Notifier::spawn(pool.clone(), &tracker, stop.clone());
    worker.go().await?;
    let mut producers = JoinSet::new();
    let window = settings.window * 2;
    let started = Instant::now();
    for _ in 0..PRODUCERS {
        let (mut connection, notifier) = (connect(&database.url).await?, notifier.clone());
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
    database.clear().await?;
    Ok(enqueued as f64 / took.as_secs_f64())
}
