//! Frees the names of work that has to be done again.

use base::{JobId, TenantId};
use sqlx::PgConnection;

/// Frees an external id that names this job, so that the next enqueue with it is new work instead of this job.
///
/// Returns whether the job had the name.
pub async fn forget(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
    (kind, external_id): (&str, &str),
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from job_keys where tenant_id = $1 and kind = $2 and external_id = $3 and job_id = $4",
        tenant.0,
        kind,
        external_id,
        job.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
