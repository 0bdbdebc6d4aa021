//! Putting work into the queue, inside the caller's transaction.
//!
//! Does not wake workers: a NOTIFY inside the inserting transaction takes a global lock at commit and was measured to
//! cost more than the insert itself. Call [`super::signals::notifier::Notifier::job_available`] after the commit.

pub mod bulk;
pub mod dedupe;
pub mod enqueuer;

use super::{Dedupe, JobKind, enqueue::dedupe::Replaced};
use crate::coalesce::Unanswered;
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A job to be.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub id: JobId,
    pub tenant: TenantId,
    pub kind: &'static str,
    pub queue: &'static str,
    pub args: serde_json::Value,
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    /// Not before then; `None` is now.
    pub run_at: Option<DateTime<Utc>>,
    pub max_attempts: i32,
    /// Protects the work: one (tenant, kind, external id) is one job.
    pub external: Option<ExternalId>,
    /// Keeps the line short: of the jobs with one (tenant, kind, key) at most one waits.
    pub dedupe: Option<Dedupe>,
    /// The job that enqueues this one.
    pub parent: Option<JobId>,
    pub request_id: Option<String>,
    pub traceparent: Option<String>,
}

/// The caller's name for a piece of work, and what it asked for under that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalId {
    /// 1 to 255 characters.
    pub id: String,
    /// The same id with another fingerprint is a conflict.
    pub fingerprint: [u8; 32],
}

impl NewJob {
    /// A job of kind `K` with that kind's defaults, to run at once.
    ///
    /// # Errors
    /// If the arguments cannot be written as JSON.
    pub fn of<K: JobKind>(tenant: TenantId, args: &K::Args) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: JobId::new(),
            tenant,
            kind: K::NAME,
            queue: K::QUEUE,
            args: serde_json::to_value(args)?,
            priority: 3,
            run_at: None,
            max_attempts: K::retry_policy().max_attempts,
            external: None,
            dedupe: None,
            parent: None,
            request_id: None,
            traceparent: None,
        })
    }
}

/// What became of an enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    Inserted(JobId),
    /// Inserted in the place of others: announce their ends and the wishes after the commit.
    Replacing {
        job: JobId,
        replaced: Replaced,
    },
    /// The external id was used before, for the same request; or a job with the dedupe key waits, and does not start
    /// before this transaction ends.
    Existing(JobId),
}

/// A job was not enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    #[error("external id is in use for another request, by job {existing}")]
    KeyReused { existing: JobId },
    #[error("could not insert the job")]
    Database(#[source] sqlx::Error),
    /// The connection broke while this job and others were being committed: they may be in or not.
    #[error("could not insert a batch of jobs")]
    Batch(#[source] std::sync::Arc<sqlx::Error>),
    #[error("could not have the job inserted")]
    Unanswered(#[from] Unanswered),
}

/// Inserts the job, or finds the one that its external id names.
///
/// Of two transactions with one external id, or one dedupe key, the second waits for the first to end, at most the connection's lock timeout.
///
/// # Errors
/// [`EnqueueError::KeyReused`] if the external id was used with another fingerprint.
pub async fn enqueue(conn: &mut PgConnection, job: &NewJob) -> Result<Enqueued, EnqueueError> {
    if job.dedupe.is_some() {
        return bulk::enqueue_one(conn, job).await;
    }
    if let Some(external) = &job.external {
        let claimed = claim_key(conn, job, external)
            .await
            .map_err(EnqueueError::Database)?;
        if !claimed {
            let (existing, fingerprint) = find_key(conn, job, external)
                .await
                .map_err(EnqueueError::Database)?;
            return if fingerprint == external.fingerprint {
                Ok(Enqueued::Existing(existing))
            } else {
                Err(EnqueueError::KeyReused { existing })
            };
        }
    }
    insert(conn, job).await.map_err(EnqueueError::Database)?;
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

/// Inserts a job that has no name which another could have.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &mut PgConnection, job: &NewJob) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into jobs (id, tenant_id, kind, queue, state, priority, run_at, max_attempts, args, request_id, traceparent,
             parent_id)
         values ($1, $2, $3, $4, case when $5::timestamptz > now() then 'scheduled' else 'available' end,
                 $6, coalesce($5, now()), $7, $8, $9, $10, $11)",
        job.id.0,
        job.tenant.0,
        job.kind,
        job.queue,
        job.run_at,
        job.priority,
        job.max_attempts,
        job.args,
        job.request_id,
        job.traceparent,
        job.parent.map(|parent| parent.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}
