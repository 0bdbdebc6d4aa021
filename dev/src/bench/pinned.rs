//! A soak while somebody else's transaction is held open, so that no dead row can be removed: [`measure`] compares the
//! throughput of the first minute with that of the last.

use super::fill::{Filler, analyze};
use super::report::Finding;
use super::sql::{connect, execute};
use super::stand::Stand;
use super::worker_process::WorkerProcess;
use super::{BenchError, Settings, progress};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Kept waiting: a closed loop, so that what is measured is the worker and not the producer.
const BACKLOG: u64 = 20_000;
const REFILL: u64 = 5_000;

pub(super) async fn measure(
    stand: &Stand,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let (intervals, length) = if settings.quick {
        (4, Duration::from_secs(5))
    } else {
        (settings.minutes.max(2), Duration::from_secs(60))
    };
    let bed = stand.bed().await?;
    let mut enqueued = BACKLOG;
    let mut filler = Filler::on(&bed).await?;
    filler.add(BACKLOG).await?;
    analyze(&bed).await?;
    let mut holder = connect(&bed.url).await?;
    execute(
        &mut holder,
        "begin isolation level repeatable read; select count(*) from jobs",
    )
    .await?;
    let mut worker = WorkerProcess::start(&bed, &stand.places, settings).await?;
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
    bed.clear().await?;
    let first = rates.first().copied().unwrap_or_default();
    let last = rates.last().copied().unwrap_or_default();
    Ok(vec![
        Finding::new("pinned", "jobs/s", vec![last])
            .detail("in the first minute", first)
            .detail("× of the first", last / first),
    ])
}
