//! A backlog: jobs put in through the library, a thousand at a time. See [`fill`].

use super::BenchError;
use super::noop::Jobs;
use super::sql::{connect, execute};
use super::stand::Bed;
use jobs::queue::bulk::enqueue_many;
use sqlx::Connection;
use tokio::task::JoinSet;

const BATCH: u64 = 1000;
const CONNECTIONS: u64 = 2;
/// Enough that a claim must go from tenant to tenant.
pub(super) const TENANTS: usize = 8;

/// Enqueues this many jobs, and tells the planner about them.
pub(super) async fn fill(bed: &Bed, jobs: u64) -> Result<(), BenchError> {
    let mut fillers = JoinSet::new();
    for place in 0..CONNECTIONS {
        let share = jobs / CONNECTIONS + u64::from(place < jobs % CONNECTIONS);
        let mut connection = connect(&bed.url).await?;
        fillers.spawn(async move {
            let mut source = Jobs::of_tenants(TENANTS);
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
            Ok::<_, BenchError>(())
        });
    }
    while let Some(filled) = fillers.join_next().await {
        filled.expect("filling does not panic")?;
    }
    analyze(bed).await
}

/// What autovacuum would do within a minute; without it the plans of the first minute would be measured.
pub(super) async fn analyze(bed: &Bed) -> Result<(), BenchError> {
    Ok(execute(&mut connect(&bed.url).await?, "analyze").await?)
}
