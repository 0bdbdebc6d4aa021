//! A backlog of no-op jobs, drained by one worker process: [`measure`], beside bare SQL and a peer.

use super::costs::Costs;
use super::fill::fill;
use super::report::Finding;
use super::sql::{connect, number};
use super::stand::{Bed, Stand};
use super::statistics::median;
use super::worker_process::WorkerProcess;
use super::{BenchError, Settings, graphile, progress, raw};
use std::time::Instant;

/// One drain, and what it cost.
pub(super) struct Drained {
    pub(super) rate: f64,
    /// Per job: WAL bytes, commits, dead tuples.
    pub(super) costs: [f64; 3],
}

pub(super) async fn measure(
    stand: &Stand,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let (mut ours, mut one, mut two, mut peer) = (vec![], vec![], vec![], vec![]);
    let mut costs = [vec![], vec![], vec![]];
    let graphile = graphile::fetch_if(settings.peer, &stand.places)?;
    for run in 0..settings.runs {
        let drained = once(stand, settings, 1).await?;
        for (all, cost) in costs.iter_mut().zip(drained.costs) {
            all.push(cost);
        }
        for (connections, rates) in [(1, &mut one), (2, &mut two)] {
            let bed = stand.bed().await?;
            raw::prepare(&bed).await?;
            raw::fill(&bed, settings.jobs).await?;
            rates.push(raw::drain(&bed, settings.jobs, connections).await?);
            bed.clear().await?;
        }
        let mut said = format!(
            "ours {:.0}, raw {:.0} and {:.0}",
            drained.rate, one[run], two[run]
        );
        if let Some(graphile) = &graphile {
            let rate = graphile.drain(stand, settings.jobs).await?;
            said = format!("{said}, graphile-worker {rate:.0}");
            peer.push(rate);
        }
        ours.push(drained.rate);
        progress("drain", run, said);
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
    stand: &Stand,
    settings: &Settings,
    workers: usize,
) -> Result<Drained, BenchError> {
    let bed = stand.bed().await?;
    fill(&bed, settings.jobs).await?;
    let drained = drain(&bed, stand, settings, workers).await?;
    bed.clear().await?;
    Ok(drained)
}

/// Drains what was filled in, from the order to begin to the last settle; checks that each job has ended once.
pub(super) async fn drain(
    bed: &Bed,
    stand: &Stand,
    settings: &Settings,
    workers: usize,
) -> Result<Drained, BenchError> {
    let mut fleet = Vec::new();
    for _ in 0..workers {
        fleet.push(WorkerProcess::start(bed, &stand.places, settings).await?);
    }
    let finished_before = finished(bed).await?;
    let before = Costs::read(bed).await?;
    let started = Instant::now();
    for worker in &mut fleet {
        worker.go().await?;
    }
    loop {
        let done: u64 = fleet.iter().map(WorkerProcess::finished).sum();
        if done >= settings.jobs {
            break;
        }
        // Any of them may be the one that goes on.
        let steps = fleet.iter_mut().map(|worker| Box::pin(worker.progress()));
        first(steps.collect()).await?;
    }
    let took = started.elapsed();
    let wal = Costs::read(bed).await?.wal_bytes;
    for worker in fleet {
        worker.stop().await?;
    }
    bed.alone().await?;
    let mut costs = Costs::read(bed).await?.since(before);
    costs.wal_bytes = wal - before.wal_bytes;
    let ended = finished(bed).await? - finished_before;
    if u64::try_from(ended) != Ok(settings.jobs) {
        return Err(BenchError::Unsound(format!(
            "{ended} of {} jobs ended",
            settings.jobs
        )));
    }
    Ok(Drained {
        rate: settings.jobs as f64 / took.as_secs_f64(),
        costs: costs.per(settings.jobs),
    })
}

async fn finished(bed: &Bed) -> Result<i64, BenchError> {
    let count = "select count(*) from finished_jobs where state = 'succeeded'";
    Ok(number(&mut connect(&bed.url).await?, count).await?)
}

/// The first of several to end.
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
