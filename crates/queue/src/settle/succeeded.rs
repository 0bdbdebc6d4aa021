//! [`settle_succeeded`]: settles plain successes by the batch.

use crate::Lease;
use base::JobId;
use sqlx::{PgExecutor, types::Json};
use std::collections::HashSet;
use uuid::Uuid;

/// The arguments of the database's function `settle_succeeded`, a column each.
pub struct SucceededColumns<'a> {
    pub tenants: Vec<Uuid>,
    pub jobs: Vec<Uuid>,
    pub attempts: Vec<i32>,
    pub workers: Vec<Uuid>,
    pub outputs: Vec<Json<&'a serde_json::Value>>,
}

impl<'a> SucceededColumns<'a> {
    /// Splits leases with the outputs of their attempts into columns.
    pub fn of(succeeded: impl Iterator<Item = (Lease, &'a serde_json::Value)>) -> Self {
        let mut columns = Self {
            tenants: Vec::new(),
            jobs: Vec::new(),
            attempts: Vec::new(),
            workers: Vec::new(),
            outputs: Vec::new(),
        };
        for (lease, output) in succeeded {
            columns.tenants.push(lease.tenant.0);
            columns.jobs.push(lease.job.0);
            columns.attempts.push(lease.attempt);
            columns.workers.push(lease.worker.0);
            columns.outputs.push(Json(output));
        }
        columns
    }
}

/// Settles attempts that succeeded and write nothing else, with one statement that needs no transaction around it.
///
/// Returns the jobs whose outcome was written. The leases of the others were lost, or an earlier call with the same
/// attempts was committed and its reply lost.
///
/// # Errors
/// If the database fails or refuses an output (a NUL in a string); then nothing was written. After a lost connection the
/// commit may have landed: call again.
pub async fn settle_succeeded<'c>(
    executor: impl PgExecutor<'c>,
    succeeded: &[(Lease, &serde_json::Value)],
) -> Result<HashSet<JobId>, sqlx::Error> {
    let columns = SucceededColumns::of(succeeded.iter().copied());
    let written = sqlx::query_scalar!(
        r#"select id as "id!: JobId" from settle_succeeded($1, $2, $3, $4, $5)"#,
        &columns.tenants,
        &columns.jobs,
        &columns.attempts,
        &columns.workers,
        &columns.outputs as &[Json<&serde_json::Value>],
    )
    .fetch_all(executor)
    .await?;
    Ok(written.into_iter().collect())
}
