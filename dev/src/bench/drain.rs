//! Drains a backlog of no-op jobs with one worker process: [`measure`], compared with bare SQL and a peer.

use super::bench_cluster::{BenchCluster, BenchDatabase};
use super::costs::Costs;
use super::fill::fill;
use super::report::Finding;
use super::sql::{connect, number};
use super::statistics::median;
use super::worker_process::WorkerProcess;
use super::{BenchError, Settings, graphile, progress, raw};
use std::time::Instant;

/// The rate and the costs of one drain.
pub(super) struct DrainResult {
    pub(super) rate: f64,
    /// Per job: WAL bytes, commits, dead tuples.
    pub(super) costs: [f64; 3],
}

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let (mut ours, mut one, mut two, mut peer) = (vec![], vec![], vec![], vec![]);
    let mut costs = [vec![], vec![], vec![]];
    let graphile = graphile::fetch_if(settings.peer, &bench.places)?;
    for run in 0..settings.runs {
        let drained = once(bench, settings, 1).await?;
        for (all, cost) in costs.iter_mut().zip(drained.costs) {
            all.push(cost);
        }
        for (connections, rates) in [(1, &mut one), (2, &mut two)] {
            let database = bench.new_database().await?;
            raw::prepare(&database).await?;
            raw::fill(&database, settings.jobs).await?;
            rates.push(raw::drain(&database, settings.jobs, connections).await?);
            database.clear().await?;
        }
        let mut line = format!(
            "ours {:.0}, bare SQL {:.0} and {:.0}",
            drained.rate, one[run], two[run]
        );
        if let Some(graphile) = &graphile {
            let rate = graphile.drain(bench, settings.jobs).await?;
            line = format!("{line}, graphile-worker {rate:.0}");
            peer.push(rate);
        }
        ours.push(drained.rate);
        progress("drain", run, line);
    }
    let [wal, commits, dead] = costs.map(|all| median(&all));
    let better = if median(&one) > median(&two) {
        one
    } else {
        two
    };
    let mut finding = Finding::new("drain", "jobs/s", ours)
        .raw(better)
        .detail("WAL bytes/job", wal)
        .detail("commits/job", commits)
        .detail("dead tuples/job", dead);
    if graphile.is_some() {
        finding.peers.insert(graphile::NAME, peer);
    }
    Ok(vec![finding])
}

/// Fills a fresh database and drains it with this many worker processes.
pub(super) async fn once(
    bench: &BenchCluster,
    settings: &Settings,
    workers: usize,
) -> Result<DrainResult, BenchError> {
    let database = bench.new_database().await?;
    fill(&database, settings.jobs).await?;
    let drained = drain(&database, bench, settings, workers).await?;
    database.clear().await?;
    Ok(drained)
}

/// Drains the database, timed from the start signal to the last settle; checks that each job ended once.
pub(super) async fn drain(
    database: &BenchDatabase,
    bench: &BenchCluster,
    settings: &Settings,
    workers: usize,
) -> Result<DrainResult, BenchError> {
    let mut processes = Vec::new();
    for _ in 0..workers {
        processes.push(WorkerProcess::start(database, &bench.places, settings).await?);
    }
    let finished_before = finished(database).await?;
    let before = Costs::read(database).await?;
    let started = Instant::now();
    for worker in &mut processes {
        worker.go().await?;
    }
    loop {
        let done: u64 = processes.iter().map(WorkerProcess::finished).sum();
        if done >= settings.jobs {
            break;
        }
        // Any worker may finish the next jobs.
        let steps = processes
            .iter_mut()
            .map(|worker| Box::pin(worker.progress()));
        first(steps.collect()).await?;
    }
    let took = started.elapsed();
    let wal = Costs::read(database).await?.wal_bytes;
    for worker in processes {
        worker.stop().await?;
    }
    database.wait_until_unused().await?;
    let mut costs = Costs::read(database).await?.since(before);
    costs.wal_bytes = wal - before.wal_bytes;
    let ended = finished(database).await? - finished_before;
    if u64::try_from(ended) != Ok(settings.jobs) {
        return Err(BenchError::Unsound(format!(
            "{ended} of {} jobs ended",
            settings.jobs
        )));
    }
    Ok(DrainResult {
        rate: settings.jobs as f64 / took.as_secs_f64(),
        costs: costs.per(settings.jobs),
    })
}

async fn finished(database: &BenchDatabase) -> Result<i64, BenchError> {
    let count = "select count(*) from finished_jobs where state = 'succeeded'";
    Ok(number(&mut connect(&database.url).await?, count).await?)
}

/// Waits for the first of several futures.
async fn first<F>(mut futures: Vec<F>) -> F::Output
where
    F: Future + Unpin,
{
    std::future::poll_fn(|context| {
        let ended = futures
            .iter_mut()
            .map(|future| std::pin::Pin::new(future).poll(context));
        ended
            .into_iter()
            .find(std::task::Poll::is_ready)
            .unwrap_or(std::task::Poll::Pending)
    })
    .await
}
