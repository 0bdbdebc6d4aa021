//! Settles attempts: writes the outcome, in the caller's transaction.
//!
//! Every statement matches on the attempt and the worker, not only the id: after a rescue two workers can believe they hold
//! a job, and the older one must not write. The attempt alone does not tell them apart when a standby was promoted that had
//! not heard of the older one's claim: the next claim then gets the same number.

pub mod rescue;
mod succeeded;

pub use succeeded::{SucceededColumns, settle_succeeded};

use crate::{
    Failure, Lease, Outcome,
    enqueue::dedupe::returning::{DedupeSlot, key_of, superseded_failure, take_slot},
    finished::insert_finished,
    interval::interval,
};
use base::JobId;
use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, postgres::types::PgInterval};

/// The result of a settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The outcome was written.
    Written,
    /// The outcome was written, and the older job that waited with its dedupe key was cancelled: notify its waiters.
    WrittenReplacing(JobId),
    /// A newer job waits with the dedupe key, so the job was cancelled instead of returning to the queue.
    Superseded,
    /// Cancellation was requested, so the job was cancelled instead of returning to the queue.
    Cancelled,
    /// The same attempt was settled before: its COMMIT landed and the reply was lost. Write nothing more.
    AlreadySettled,
}

/// The outcome was not written.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Another worker holds the job now, or the job was cancelled; drop the result.
    #[error("lease on job {job} was lost at attempt {attempt}")]
    LeaseLost { job: JobId, attempt: i32 },
    #[error("could not record the outcome of job {job}")]
    Database {
        job: JobId,
        #[source]
        source: sqlx::Error,
    },
}

/// Writes the outcome of the attempt that `lease` names; `failure` is the reason of one that did not succeed.
///
/// # Errors
/// [`SettleError::LeaseLost`] if the lease does not hold any more.
pub async fn settle(
    conn: &mut PgConnection,
    lease: Lease,
    outcome: &Outcome,
    failure: Option<&Failure>,
) -> Result<Settled, SettleError> {
    let database = |source| SettleError::Database {
        job: lease.job,
        source,
    };
    if !outcome.returns_to_queue() {
        return write(conn, lease, outcome, failure).await;
    }
    let Some(key) = key_of(conn, lease).await.map_err(database)? else {
        return write(conn, lease, outcome, failure).await;
    };
    let mut transaction = conn.begin().await.map_err(database)?;
    let slot = take_slot(&mut transaction, lease, &key)
        .await
        .map_err(database)?;
    let settled = if slot == DedupeSlot::HeldByNewer {
        let failure = superseded_failure();
        write(&mut transaction, lease, &Outcome::Cancelled, Some(&failure)).await?
    } else {
        write(&mut transaction, lease, outcome, failure).await?
    };
    if let (Settled::Cancelled, DedupeSlot::TakenFrom(_)) = (settled, slot) {
        // The job does not return, and needs no slot: the older one keeps waiting.
        transaction.rollback().await.map_err(database)?;
        return write(conn, lease, outcome, failure).await;
    }
    transaction.commit().await.map_err(database)?;
    Ok(match (settled, slot) {
        (Settled::Written, DedupeSlot::HeldByNewer) => Settled::Superseded,
        (Settled::Written, DedupeSlot::TakenFrom(older)) => Settled::WrittenReplacing(older),
        _ => settled,
    })
}

async fn write(
    conn: &mut PgConnection,
    lease: Lease,
    outcome: &Outcome,
    failure: Option<&Failure>,
) -> Result<Settled, SettleError> {
    let database = |source| SettleError::Database {
        job: lease.job,
        source,
    };
    let written = match outcome {
        Outcome::Succeeded { output } => finish(conn, lease, "succeeded", Some(output), None).await,
        Outcome::Discarded => finish(conn, lease, "discarded", None, failure).await,
        Outcome::Cancelled => finish(conn, lease, "cancelled", None, failure).await,
        Outcome::Retried { delay } => {
            let delay = interval(*delay);
            retry(conn, lease, delay, failure).await
        }
        Outcome::Snoozed { until } => hand_back(conn, lease, "scheduled", Some(*until), None).await,
        Outcome::Deferred { delay } => {
            hand_back(conn, lease, "scheduled", None, Some(interval(*delay))).await
        }
        Outcome::Waiting { children } => wait(conn, lease, *children).await,
        Outcome::Interrupted => hand_back(conn, lease, "available", None, None).await,
    }
    .map_err(database)?;
    if !written && outcome.returns_to_queue() {
        // Either the lease was lost, or cancellation was requested.
        let cancelled = Failure::cancelled();
        if finish(conn, lease, "cancelled", None, Some(&cancelled))
            .await
            .map_err(database)?
        {
            record_attempt(conn, lease, Outcome::Cancelled.as_str(), Some(&cancelled))
                .await
                .map_err(database)?;
            return Ok(Settled::Cancelled);
        }
    }
    if written {
        if !matches!(outcome, Outcome::Succeeded { .. }) {
            record_attempt(conn, lease, outcome.as_str(), failure)
                .await
                .map_err(database)?;
        }
        return Ok(Settled::Written);
    }
    if was_settled(conn, lease, outcome).await.map_err(database)? {
        Ok(Settled::AlreadySettled)
    } else {
        Err(SettleError::LeaseLost {
            job: lease.job,
            attempt: lease.attempt,
        })
    }
}

/// Moves the job to `finished_jobs`.
async fn finish(
    conn: &mut PgConnection,
    lease: Lease,
    state: &str,
    output: Option<&serde_json::Value>,
    failure: Option<&Failure>,
) -> Result<bool, sqlx::Error> {
    let done = insert_finished!(
        query;
        "with settled as (
             delete from jobs
             where tenant_id = $7 and id = $1 and attempt = $2 and worker_id = $8 and state = 'running' returning *
         )",
        "$3, errors + ($3 = 'discarded')::int, crashes, $4, $5, $6",
        "from settled",
        lease.job.0,
        lease.attempt,
        state,
        output,
        failure.map(|failure| failure.code),
        failure.map(|failure| failure.message.as_str()),
        lease.tenant.0,
        lease.worker.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn retry(
    conn: &mut PgConnection,
    lease: Lease,
    delay: PgInterval,
    failure: Option<&Failure>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update jobs
         set state = 'retryable', errors = errors + 1, run_at = now() + $3, worker_id = null, lease_until = null,
             last_error_code = $4, last_error_message = $5, progress = null, progress_note = null
         where tenant_id = $6 and id = $1 and attempt = $2 and worker_id = $7 and state = 'running'
           and cancel_requested_at is null",
        lease.job.0,
        lease.attempt,
        delay,
        failure.map(|failure| failure.code),
        failure.map(|failure| failure.message.as_str()),
        lease.tenant.0,
        lease.worker.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns the job to the queue without counting the attempt, to be run at a time or after a delay.
async fn hand_back(
    conn: &mut PgConnection,
    lease: Lease,
    state: &str,
    until: Option<DateTime<Utc>>,
    delay: Option<PgInterval>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update jobs
         set state = $3, run_at = coalesce($4, now() + $7::interval, run_at), worker_id = null, lease_until = null,
             progress = null, progress_note = null
         where tenant_id = $5 and id = $1 and attempt = $2 and worker_id = $6 and state = 'running'
           and cancel_requested_at is null",
        lease.job.0,
        lease.attempt,
        state,
        until,
        lease.tenant.0,
        lease.worker.0,
        delay,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes the job wait for its children: scheduled, and never due.
async fn wait(conn: &mut PgConnection, lease: Lease, children: i32) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update jobs
         set state = 'scheduled', awaits_children = true, children = children + $3, worker_id = null, lease_until = null,
             progress = null, progress_note = null
         where tenant_id = $4 and id = $1 and attempt = $2 and worker_id = $5 and state = 'running'
           and cancel_requested_at is null",
        lease.job.0,
        lease.attempt,
        children,
        lease.tenant.0,
        lease.worker.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn record_attempt(
    conn: &mut PgConnection,
    lease: Lease,
    outcome: &str,
    failure: Option<&Failure>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into job_attempts (job_id, attempt, tenant_id, worker_id, started_at, outcome, error_code, error_message)
         select id, $2, tenant_id, $3, started_at, $4, $5, $6
         from (
             select id, tenant_id, started_at from jobs where tenant_id = $7 and id = $1
             union all
             select id, tenant_id, started_at from finished_jobs where tenant_id = $7 and id = $1
         ) job",
        lease.job.0,
        lease.attempt,
        lease.worker.0,
        outcome,
        failure.map(|failure| failure.code),
        failure.map(|failure| failure.message.as_str()),
        lease.tenant.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn was_settled(
    conn: &mut PgConnection,
    lease: Lease,
    outcome: &Outcome,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select (exists (
               select from finished_jobs
               where tenant_id = $5 and id = $1 and attempt = $2 and worker_id = $3
                 and (state = $4 or state = 'cancelled')
           ) or exists (
               select from job_attempts where job_id = $1 and attempt = $2 and worker_id = $3 and outcome = $4
           )) as "settled!""#,
        lease.job.0,
        lease.attempt,
        lease.worker.0,
        outcome.as_str(),
        lease.tenant.0,
    )
    .fetch_one(conn)
    .await
}
