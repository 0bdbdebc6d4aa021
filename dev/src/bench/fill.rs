//! Fills a backlog through the library, a thousand jobs at a time: [`fill`], and [`Filler`] for a constant backlog.

use super::BenchError;
use super::bench_cluster::BenchDatabase;
use super::noop::Jobs;
use super::sql::{connect, execute};
use queue::enqueue::bulk::enqueue_many;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

const BATCH: u64 = 1000;
const CONNECTIONS: u64 = 2;
/// Enough tenants that claims must alternate between them.
const TENANTS: usize = 8;

/// Enqueues repeatedly for the same tenants.
pub(super) struct Filler {
    lanes: Vec<(PgConnection, Jobs)>,
}

/// Enqueues this many jobs and updates the statistics.
pub(super) async fn fill(database: &BenchDatabase, jobs: u64) -> Result<(), BenchError> {
    Filler::on(database).await?.add(jobs).await?;
    analyze(database).await
}

/// Runs `analyze`, as autovacuum would within a minute, so that usual plans are measured.
pub(super) async fn analyze(database: &BenchDatabase) -> Result<(), BenchError> {
    Ok(execute(&mut connect(&database.url).await?, "analyze").await?)
}

impl Filler {
    pub(super) async fn on(database: &BenchDatabase) -> Result<Self, BenchError> {
        let source = Jobs::of_tenants(TENANTS);
        let mut lanes = Vec::new();
        for _ in 0..CONNECTIONS {
            lanes.push((connect(&database.url).await?, source.clone()));
        }
        Ok(Self { lanes })
    }

    /// Enqueues this many more.
    pub(super) async fn add(&mut self, jobs: u64) -> Result<(), BenchError> {
        let mut fillers = JoinSet::new();
        for (place, (mut connection, mut source)) in (0..).zip(self.lanes.drain(..)) {
            let share = jobs / CONNECTIONS + u64::from(place < jobs % CONNECTIONS);
            fillers.spawn(async move {
                let mut left = share;
                while left > 0 {
                    let count = left.min(BATCH);
                    let batch = source.many(usize::try_from(count).unwrap_or_default())?;
                    let mut transaction = connection.begin().await?;
                    for enqueued in enqueue_many(&mut transaction, &batch).await? {
                        enqueued?;
                    }
                    transaction.commit().await?;
                    left -= count;
                }
                Ok::<_, BenchError>((connection, source))
            });
        }
        while let Some(filled) = fillers.join_next().await {
            self.lanes.push(filled.expect("filling does not panic")?);
        }
        Ok(())
    }
}
