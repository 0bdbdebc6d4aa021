//! A backlog: jobs put in through the library, a thousand at a time. See [`fill`], and [`Filler`] where it is kept full.

use super::BenchError;
use super::noop::Jobs;
use super::sql::{connect, execute};
use super::stand::Bed;
use queue::enqueue::bulk::enqueue_many;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

const BATCH: u64 = 1000;
const CONNECTIONS: u64 = 2;
/// Enough that a claim must go from tenant to tenant.
const TENANTS: usize = 8;

/// Connections that enqueue for the same tenants, however often they are asked.
pub(super) struct Filler {
    lanes: Vec<(PgConnection, Jobs)>,
}

/// Enqueues this many jobs, and tells the planner about them.
pub(super) async fn fill(bed: &Bed, jobs: u64) -> Result<(), BenchError> {
    Filler::on(bed).await?.add(jobs).await?;
    analyze(bed).await
}

/// What autovacuum would do within a minute; without it the plans of the first minute would be measured.
pub(super) async fn analyze(bed: &Bed) -> Result<(), BenchError> {
    Ok(execute(&mut connect(&bed.url).await?, "analyze").await?)
}

impl Filler {
    pub(super) async fn on(bed: &Bed) -> Result<Self, BenchError> {
        let source = Jobs::of_tenants(TENANTS);
        let mut lanes = Vec::new();
        for _ in 0..CONNECTIONS {
            lanes.push((connect(&bed.url).await?, source.clone()));
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
