//! Enqueues jobs inside the caller's transaction.
//!
//! Does not wake workers: a NOTIFY inside the inserting transaction takes a global lock at commit, which cost more than the
//! insert itself when measured. Call [`crate::signals::notifier::Notifier::job_available`] after the commit.

pub mod bulk;
pub mod dedupe;
mod enqueued;
pub mod enqueuer;
pub mod names;

pub use enqueued::{EnqueueError, Enqueued, Replaced};

use crate::{ExternalId, NewJob};
use base::JobId;
use sqlx::PgConnection;

/// Inserts the job, or finds the one that its external id or dedupe key names.
///
/// Of two transactions with the same external id or dedupe key, the second waits for the end of the first, at most for the
/// connection's lock timeout.
///
/// # Errors
/// [`EnqueueError::KeyReused`] if the external id was used with another fingerprint, [`EnqueueError::DedupeKeyLocked`] if the
/// first transaction lasts too long.
pub async fn enqueue(conn: &mut PgConnection, job: &NewJob) -> Result<Enqueued, EnqueueError> {
    if job.dedupe.is_some() {
        return bulk::enqueue_one(conn, job).await;
    }
    if let Some(external) = &job.external {
        let claimed = claim_key(conn, job, external).await?;
        if !claimed {
            let (existing, fingerprint) = find_key(conn, job, external).await?;
            return if fingerprint == external.fingerprint {
                Ok(Enqueued::Existing(existing))
            } else {
                Err(EnqueueError::KeyReused { existing })
            };
        }
    }
    insert(conn, job).await?;
    Ok(Enqueued::Inserted(job.id))
}

async fn claim_key(
    conn: &mut PgConnection,
    job: &NewJob,
    external: &ExternalId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into job_keys (tenant_id, kind, external_id, fingerprint, job_id)
         values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, kind, external_id) do nothing",
        job.tenant.0,
        job.kind,
        external.id,
        &external.fingerprint[..],
        job.id.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn find_key(
    conn: &mut PgConnection,
    job: &NewJob,
    external: &ExternalId,
) -> Result<(JobId, Vec<u8>), sqlx::Error> {
    let row = sqlx::query!(
        r#"select job_id as "job_id: JobId", fingerprint
           from job_keys where tenant_id = $1 and kind = $2 and external_id = $3"#,
        job.tenant.0,
        job.kind,
        external.id,
    )
    .fetch_one(conn)
    .await?;
    Ok((row.job_id, row.fingerprint))
}

/// Inserts a job that has neither an external id nor a dedupe key.
///
/// # Errors
/// If the database refuses the job.
pub async fn insert(conn: &mut PgConnection, job: &NewJob) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into jobs (id, tenant_id, kind, queue, state, priority, run_at, max_attempts, args, request_id, client_request_id,
             traceparent, parent_id)
         values ($1, $2, $3, $4, case when $5::timestamptz > now() then 'scheduled' else 'available' end,
                 $6, coalesce($5, now()), $7, $8, $9, $10, $11, $12)",
        job.id.0,
        job.tenant.0,
        job.kind,
        job.queue,
        job.run_at,
        job.priority,
        job.max_attempts,
        job.args,
        job.request_id,
        job.client_request_id,
        job.traceparent,
        job.parent.map(|parent| parent.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}
