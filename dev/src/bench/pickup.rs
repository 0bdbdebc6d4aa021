//! Time from the enqueue into an idle queue to the start of the handler in another process: [`measure`].

use super::bench_cluster::{BenchCluster, BenchDatabase};
use super::noop::{Jobs, Noop, now_us};
use super::report::Finding;
use super::sql::connect;
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

/// Time until the queue is idle again; not a divisor of any poll interval.
const PAUSE: Duration = Duration::from_micros(23_700);
/// The first jobs open connections and prepare statements; they are not counted.
const WARM_UP: usize = 20;

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let samples = if settings.quick { 100 } else { 500 };
    let (mut ours, mut baseline) = ([vec![], vec![]], [vec![], vec![]]);
    for run in 0..settings.runs {
        let database = bench.new_database().await?;
        let times = once(&database, bench, settings, samples).await?;
        let floor = floor(&database, samples).await?;
        database.clear().await?;
        for (place, percent) in [50, 99].into_iter().enumerate() {
            ours[place].push(percentile(&times, percent));
            baseline[place].push(percentile(&floor, percent));
        }
        let line = format!(
            "p50 {:.2} ms (bare SQL {:.2}), p99 {:.2} ms (bare SQL {:.2})",
            ours[0][run], baseline[0][run], ours[1][run], baseline[1][run]
        );
        progress("pickup", run, line);
    }
    let findings = ["pickup.p50", "pickup.p99"].into_iter().zip(ours);
    let findings = findings.zip(baseline);
    Ok(findings
        .map(|((name, ours), baseline)| Finding::new(name, "ms", ours).raw(baseline))
        .collect())
}

/// Measures the pick-up times of one worker, in milliseconds.
async fn once(
    database: &BenchDatabase,
    bench: &BenchCluster,
    settings: &Settings,
    samples: usize,
) -> Result<Vec<f64>, BenchError> {
    let mut worker = WorkerProcess::start(database, &bench.places, settings).await?;
    worker.go().await?;
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let pool = PgPool::connect(&database.url).await?;
    let notifier = Notifier::spawn(pool.clone(), &tracker, stop.clone());
    let mut connection = connect(&database.url).await?;
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

/// Measures the same in bare SQL within one process: insert, notify, listen, claim; in milliseconds.
async fn floor(database: &BenchDatabase, samples: usize) -> Result<Vec<f64>, BenchError> {
    raw::prepare(database).await?;
    let mut listener = PgListener::connect(&database.url).await?;
    listener.listen("raw_jobs").await?;
    let (mut producer, mut consumer) =
        (connect(&database.url).await?, connect(&database.url).await?);
    let mut times = Vec::with_capacity(samples);
    for sample in 0..samples + WARM_UP {
        sleep(PAUSE).await;
        let sent = Instant::now();
        let heard = async {
            listener.recv().await?;
            raw::claim(&mut consumer, 10).await?;
            Ok::<_, BenchError>(sent.elapsed())
        };
        let (inserted, heard) = tokio::join!(raw::insert_and_notify(&mut producer), heard);
        inserted?;
        if sample >= WARM_UP {
            times.push(heard?.as_secs_f64() * 1000.0);
        }
    }
    Ok(times)
}
