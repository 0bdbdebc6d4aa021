//! [`settle_succeeded`]: settles plain successes by the batch.

use crate::{Job, TupleId};
use base::JobId;
use sqlx::{PgExecutor, types::Json};
use std::collections::HashSet;
use uuid::Uuid;

/// The arguments of the database's function `settle_placed`, a column for each of the attempts.
pub struct SucceededColumns<'a> {
    pub places: Vec<TupleId>,
    pub tenants: Vec<Uuid>,
    pub jobs: Vec<Uuid>,
    pub attempts: Vec<i32>,
    pub workers: Vec<Uuid>,
    pub outputs: Vec<Json<&'a serde_json::Value>>,
}

impl<'a> SucceededColumns<'a> {
    /// Splits attempts with their outputs into columns.
    pub fn of(succeeded: &[(&Job, &'a serde_json::Value)]) -> Self {
        let jobs = || succeeded.iter().map(|(job, _)| job);
        Self {
            places: jobs().map(|job| job.place).collect(),
            tenants: jobs().map(|job| job.lease.tenant.0).collect(),
            jobs: jobs().map(|job| job.lease.job.0).collect(),
            attempts: jobs().map(|job| job.lease.attempt).collect(),
            workers: jobs().map(|job| job.lease.worker.0).collect(),
            outputs: succeeded.iter().map(|(_, output)| Json(*output)).collect(),
        }
    }

    /// Returns the jobs at these positions, which count from 1.
    pub fn jobs_at(&self, positions: &[i32]) -> HashSet<JobId> {
        let at = |position: &i32| {
            self.jobs
                .get(usize::try_from(*position).ok()?.checked_sub(1)?)
        };
        positions
            .iter()
            .filter_map(at)
            .copied()
            .map(JobId)
            .collect()
    }
}

/// Settles attempts that succeeded and write nothing else, with one statement that needs no transaction around it. It locks
/// their jobs in the order of the attempts.
///
/// Returns the jobs whose outcome was not written: their leases were lost, or an earlier call with the same attempts was
/// committed and its reply lost.
///
/// # Errors
/// If the database fails or refuses an output (a NUL in a string); then nothing was written. After a lost connection the
/// commit may have landed: call again.
pub async fn settle_succeeded<'c>(
    executor: impl PgExecutor<'c>,
    succeeded: &[(&Job, &serde_json::Value)],
) -> Result<HashSet<JobId>, sqlx::Error> {
    let columns = SucceededColumns::of(succeeded);
    let unsettled = sqlx::query_scalar!(
        r#"select settle_placed($1, $2, $3, $4, $5, $6) as "unsettled!""#,
        &columns.places as &[TupleId],
        &columns.tenants,
        &columns.jobs,
        &columns.attempts,
        &columns.workers,
        &columns.outputs as &[Json<&serde_json::Value>],
    )
    .fetch_one(executor)
    .await?;
    Ok(columns.jobs_at(&unsettled))
}
