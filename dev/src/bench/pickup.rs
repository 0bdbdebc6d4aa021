//! From an enqueue into an idle queue to the start of its handler in another process: [`measure`].

use super::noop::{Jobs, Noop, now_us};
use super::report::Finding;
use super::sql::connect;
use super::stand::{Bed, Stand};
use super::statistics::percentile;
use super::worker_process::WorkerProcess;
use super::{BenchError, Settings, progress, raw};
use queue::JobKind;
use queue::enqueue::enqueue;
use queue::signals::notifier::Notifier;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use std::time::{Duration, Instant};
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
    let (mut ours, mut yardstick) = ([vec![], vec![]], [vec![], vec![]]);
    for run in 0..settings.runs {
        let bed = stand.bed().await?;
        let times = once(&bed, stand, settings, samples).await?;
        let floor = floor(&bed, samples).await?;
        bed.clear().await?;
        for (place, percent) in [50, 99].into_iter().enumerate() {
            ours[place].push(percentile(&times, percent));
            yardstick[place].push(percentile(&floor, percent));
        }
        let said = format!(
            "p50 {:.2} ms (raw {:.2}), p99 {:.2} ms (raw {:.2})",
            ours[0][run], yardstick[0][run], ours[1][run], yardstick[1][run]
        );
        progress("pickup", run, said);
    }
    let findings = ["pickup.p50", "pickup.p99"].into_iter().zip(ours);
    let findings = findings.zip(yardstick);
    Ok(findings
        .map(|((name, ours), yardstick)| Finding::new(name, "ms", ours).raw(yardstick))
        .collect())
}

/// The pick-up times of one worker's life, in milliseconds.
async fn once(
    bed: &Bed,
    stand: &Stand,
    settings: &Settings,
    samples: usize,
) -> Result<Vec<f64>, BenchError> {
    let mut worker = WorkerProcess::start(bed, &stand.places, settings).await?;
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
    Ok(times)
}

/// The same in bare SQL within one process: insert, notify, hear, claim; in milliseconds.
async fn floor(bed: &Bed, samples: usize) -> Result<Vec<f64>, BenchError> {
    raw::prepare(bed).await?;
    let mut listener = PgListener::connect(&bed.url).await?;
    listener.listen("raw_jobs").await?;
    let (mut producer, mut consumer) = (connect(&bed.url).await?, connect(&bed.url).await?);
    let mut times = Vec::with_capacity(samples);
    for sample in 0..samples + WARM_UP {
        sleep(PAUSE).await;
        let sent = Instant::now();
        let heard = async {
            listener.recv().await?;
            raw::claim(&mut consumer, 10).await?;
            Ok::<_, BenchError>(sent.elapsed())
        };
        let (told, heard) = tokio::join!(raw::tell(&mut producer), heard);
        told?;
        if sample >= WARM_UP {
            times.push(heard?.as_secs_f64() * 1000.0);
        }
    }
    Ok(times)
}
