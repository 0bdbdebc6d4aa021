//! What one claim costs with 1,000, 100,000 and 1,000,000 jobs waiting: [`measure`], beside a claim in bare SQL.

use super::bench_cluster::{BenchCluster, BenchDatabase};
use super::fill::fill;
use super::noop::Noop;
use super::report::Finding;
use super::statistics::median;
use super::{BenchError, Settings, progress, raw};
use base::WorkerId;
use queue::JobKind;
use queue::claim::{Capacity, Claim, FairnessTurn, claim};
use sqlx::PgPool;
use std::time::{Duration, Instant};

const BACKLOGS: [(&str, u64); 3] = [
    ("backlog.1000", 1_000),
    ("backlog.100000", 100_000),
    ("backlog.1000000", 1_000_000),
];
/// Jobs per claim, and claims per run: all runs together leave most of the smallest backlog waiting.
const LIMIT: u32 = 10;
const CLAIMS: usize = 12;

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let sizes = if settings.quick {
        &BACKLOGS[..2]
    } else {
        &BACKLOGS[..]
    };
    let mut databases = Vec::new();
    for (_, waiting) in sizes {
        let database = bench.new_database().await?;
        raw::prepare(&database).await?;
        raw::fill(&database, *waiting).await?;
        fill(&database, *waiting).await?;
        databases.push(database);
    }
    let mut times = vec![(Vec::new(), Vec::new()); databases.len()];
    for run in 0..settings.runs {
        for (database, (ours, baseline)) in databases.iter().zip(&mut times) {
            ours.push(claims(database).await?);
            baseline.push(raw::claims(database, CLAIMS, i64::from(LIMIT)).await?);
        }
        let latest = times
            .iter()
            .map(|(ours, baseline)| format!("{:.2} ms (raw {:.2})", ours[run], baseline[run]));
        progress("backlog", run, latest.collect::<Vec<_>>().join(", "));
    }
    for database in databases {
        database.clear().await?;
    }
    let least = median(&times[0].0);
    let findings = sizes.iter().zip(times);
    Ok(findings
        .map(|((name, _), (ours, baseline))| {
            let of_least = median(&ours) / least;
            Finding::new(name, "ms/claim", ours)
                .raw(baseline)
                .detail("× of 1,000", of_least)
        })
        .collect())
}

/// The median time of a claim, in milliseconds. The first prepares the statement and is not counted.
async fn claims(database: &BenchDatabase) -> Result<f64, BenchError> {
    let pool = PgPool::connect(&database.url).await?;
    let kinds = [Noop::NAME.to_owned()];
    let mut turn = FairnessTurn::default();
    let mut times = Vec::with_capacity(CLAIMS);
    for _ in 0..CLAIMS {
        let request = Claim {
            worker: WorkerId::new(),
            queue: Noop::QUEUE,
            kinds: &kinds,
            lease: Duration::from_secs(600),
            limit: LIMIT,
            turn,
            priorities: &turn.priorities(),
            capacity: &Capacity::UNLIMITED,
        };
        let started = Instant::now();
        let claimed = claim(&pool, &request).await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        turn = claimed.turn;
        if claimed.jobs.is_empty() {
            return Err(BenchError::Unsound("nothing was left to claim".into()));
        }
    }
    pool.close().await;
    Ok(median(&times[1..]))
}
