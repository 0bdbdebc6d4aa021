//! Jobs put in through the library: [`measure`], one by one on 1, 8 and 32 connections and by the thousand.
//!
//! Workers are woken as they are in production, by the notifier and its own connection.

use super::noop::{Jobs, Noop};
use super::report::Finding;
use super::sql::connect;
use super::stand::{Bed, Stand};
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
    stand: &Stand,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let mut figures = vec![(Vec::new(), Vec::new()); SINGLE.len() + 1];
    for run in 0..settings.runs {
        let bed = stand.bed().await?;
        raw::prepare(&bed).await?;
        for ((_, connections), (ours, yardstick)) in SINGLE.iter().zip(&mut figures) {
            ours.push(single(&bed, *connections, settings.window).await?);
            yardstick.push(raw::insert(&bed, *connections, settings.window).await?);
        }
        if let Some((ours, yardstick)) = figures.last_mut() {
            ours.push(bulk(&bed, settings.window).await?);
            yardstick.push(raw::bulk(&bed, settings.window).await?);
        }
        bed.clear().await?;
        let latest = figures.iter().map(|(ours, yardstick)| {
            let of = |rates: &[f64]| rates.last().copied().unwrap_or_default();
            format!("{:.0} (raw {:.0})", of(ours), of(yardstick))
        });
        progress("enqueue", run, latest.collect::<Vec<_>>().join(", "));
    }
    let names = SINGLE.iter().map(|(name, _)| *name).chain(["enqueue.bulk"]);
    let findings = names.zip(figures);
    Ok(findings
        .map(|(name, (ours, yardstick))| Finding::new(name, "jobs/s", ours).raw(yardstick))
        .collect())
}

/// Jobs per second, each committed by itself, on this many connections at once.
async fn single(bed: &Bed, connections: usize, window: Duration) -> Result<f64, BenchError> {
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let pool = PgPool::connect(&bed.url).await?;
    let notifier = Notifier::spawn(pool.clone(), &tracker, stop.clone());
    let mut ready = Vec::new();
    for _ in 0..connections {
        ready.push(connect(&bed.url).await?);
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

/// Jobs per second by the thousand, each thousand in a transaction, on one connection.
async fn bulk(bed: &Bed, window: Duration) -> Result<f64, BenchError> {
    let mut connection = connect(&bed.url).await?;
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
