//! From an enqueue into an idle queue to the start of its handler in another process: [`measure`].

use super::noop::{Jobs, Noop, now_us};
use super::report::Finding;
use super::sql::connect;
use super::stand::Stand;
use super::statistics::percentile;
use super::worker_process::WorkerProcess;
use super::{BenchError, Settings, progress};
use jobs::queue::JobKind;
use jobs::queue::enqueue::enqueue;
use jobs::queue::notify::Notifier;
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Until the queue is idle again; not a divisor of anybody's interval.
const PAUSE: Duration = Duration::from_micros(23_700);
/// Connections are opened and statements prepared by the first jobs.
const WARM_UP: usize = 20;

pub(super) async fn measure(
    stand: &Stand,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let samples = if settings.quick { 100 } else { 500 };
    let (mut median, mut late) = (vec![], vec![]);
    for run in 0..settings.runs {
        let times = once(stand, settings, samples).await?;
        median.push(percentile(&times, 50));
        late.push(percentile(&times, 99));
        progress(
            "pickup",
            run,
            format!("p50 {:.2} ms, p99 {:.2} ms", median[run], late[run]),
        );
    }
    Ok(vec![
        Finding::new("pickup.p50", "ms", median),
        Finding::new("pickup.p99", "ms", late),
    ])
}

/// The pick-up times of one worker's life, in milliseconds.
async fn once(stand: &Stand, settings: &Settings, samples: usize) -> Result<Vec<f64>, BenchError> {
    let bed = stand.bed().await?;
    let mut worker = WorkerProcess::start(&bed, &stand.places, settings).await?;
    worker.go().await?;
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let pool = PgPool::connect(&bed.url).await?;
    let notifier = Notifier::spawn(pool.clone(), &tracker, stop.clone());
    let mut connection = connect(&bed.url).await?;
    let mut source = Jobs::of_tenants(1);
    let mut times = Vec::with_capacity(samples);
    for sample in 0..samples + WARM_UP {
        sleep(PAUSE).await;
        let job = source.one(Some(now_us()))?;
        enqueue(&mut connection, &job).await?;
        notifier.job_available(Noop::QUEUE);
        let us = worker.pickup().await?;
        if sample >= WARM_UP {
            times.push(us as f64 / 1000.0);
        }
    }
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    pool.close().await;
    worker.stop().await?;
    bed.clear().await?;
    Ok(times)
}
