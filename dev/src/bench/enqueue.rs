//! Enqueues jobs through the library: [`measure`], one by one on 1, 8 and 32 connections and in batches of a thousand.
//!
//! Workers are notified as in production, by the notifier on its own connection.

use super::bench_cluster::{BenchCluster, BenchDatabase};
use super::noop::{Jobs, Noop};
use super::report::Finding;
use super::sql::connect;
use super::{BenchError, Settings, progress, raw};
use queue::JobKind;
use queue::enqueue::bulk::enqueue_many;
use queue::enqueue::enqueue;
use queue::signals::notifier::Notifier;
use sqlx::{Connection, PgPool};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const SINGLE: [(&str, usize); 3] = [("enqueue.1", 1), ("enqueue.8", 8), ("enqueue.32", 32)];
const BATCH: usize = 1000;

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let mut figures = vec![(Vec::new(), Vec::new()); SINGLE.len() + 1];
    for run in 0..settings.runs {
        let database = bench.new_database().await?;
        raw::prepare(&database).await?;
        for ((_, connections), (ours, baseline)) in SINGLE.iter().zip(&mut figures) {
            ours.push(single(&database, *connections, settings.window).await?);
            baseline.push(raw::insert(&database, *connections, settings.window).await?);
        }
        if let Some((ours, baseline)) = figures.last_mut() {
            ours.push(bulk(&database, settings.window).await?);
            baseline.push(raw::bulk(&database, settings.window).await?);
        }
        database.clear().await?;
        let latest = figures.iter().map(|(ours, baseline)| {
            let of = |rates: &[f64]| rates.last().copied().unwrap_or_default();
            format!("{:.0} (bare SQL {:.0})", of(ours), of(baseline))
        });
        progress("enqueue", run, latest.collect::<Vec<_>>().join(", "));
    }
    let names = SINGLE.iter().map(|(name, _)| *name).chain(["enqueue.bulk"]);
    let findings = names.zip(figures);
    Ok(findings
        .map(|(name, (ours, baseline))| Finding::new(name, "jobs/s", ours).raw(baseline))
        .collect())
}

/// Enqueues single jobs, each in its own transaction, on this many connections; returns jobs per second.
async fn single(
    database: &BenchDatabase,
    connections: usize,
    window: Duration,
) -> Result<f64, BenchError> {
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let pool = PgPool::connect(&database.url).await?;
    let notifier = Notifier::spawn(pool.clone(), &tracker, stop.clone());
    let mut ready = Vec::new();
    for _ in 0..connections {
        ready.push(connect(&database.url).await?);
    }
    let mut producers = JoinSet::new();
    let started = Instant::now();
    for mut connection in ready {
        let notifier = notifier.clone();
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
    let mut done = 0;
    while let Some(enqueued) = producers.join_next().await {
        done += enqueued.expect("enqueueing does not panic")?;
    }
    let rate = done as f64 / started.elapsed().as_secs_f64();
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    pool.close().await;
    Ok(rate)
}

/// Enqueues batches of a thousand in one transaction each, on one connection; returns jobs per second.
async fn bulk(database: &BenchDatabase, window: Duration) -> Result<f64, BenchError> {
    let mut connection = connect(&database.url).await?;
    let mut source = Jobs::of_tenants(1);
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < window {
        let batch = source.many(BATCH)?;
        let mut transaction = connection.begin().await?;
        for enqueued in enqueue_many(&mut transaction, &batch).await? {
            enqueued?;
        }
        transaction.commit().await?;
        done += BATCH;
    }
    Ok(done as f64 / started.elapsed().as_secs_f64())
}
