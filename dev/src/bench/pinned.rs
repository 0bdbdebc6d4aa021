//! Continuous load while a long transaction blocks vacuum: [`measure`] compares the throughput of the first and the last minute.

use super::bench_cluster::BenchCluster;
use super::fill::{Filler, analyze};
use super::report::Finding;
use super::sql::{connect, execute};
use super::worker_process::WorkerProcess;
use super::{BenchError, Settings, progress};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Size of the backlog, kept constant so that the worker is measured and not the producer.
const BACKLOG: u64 = 20_000;
const REFILL: u64 = 5_000;

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let (intervals, length) = if settings.quick {
        (4, Duration::from_secs(5))
    } else {
        (settings.minutes.max(2), Duration::from_secs(60))
    };
    let database = bench.new_database().await?;
    let mut enqueued = BACKLOG;
    let mut filler = Filler::on(&database).await?;
    filler.add(BACKLOG).await?;
    analyze(&database).await?;
    let mut holder = connect(&database.url).await?;
    execute(
        &mut holder,
        "begin isolation level repeatable read; select count(*) from jobs",
    )
    .await?;
    let mut worker = WorkerProcess::start(&database, &bench.places, settings).await?;
    worker.go().await?;
    let mut rates = Vec::new();
    for interval in 0..intervals {
        let (started, before) = (Instant::now(), worker.finished());
        while started.elapsed() < length {
            if enqueued < worker.finished() + BACKLOG {
                filler.add(REFILL).await?;
                enqueued += REFILL;
            } else {
                sleep(Duration::from_millis(5)).await;
            }
        }
        let done = worker.finished() - before;
        rates.push(done as f64 / started.elapsed().as_secs_f64());
        let rate = rates.last().copied().unwrap_or_default();
        progress(
            "pinned",
            usize::try_from(interval).unwrap_or_default(),
            format!("{rate:.0} jobs/s"),
        );
    }
    execute(&mut holder, "commit").await?;
    drop((holder, filler));
    worker.stop().await?;
    database.clear().await?;
    let first = rates.first().copied().unwrap_or_default();
    let last = rates.last().copied().unwrap_or_default();
    Ok(vec![
        Finding::new("pinned", "jobs/s", vec![last])
            .detail("in the first minute", first)
            .detail("× of the first", last / first),
    ])
}
