//! Writing how an attempt ended, in the transaction that holds whatever else must commit with it.
//!
//! Every statement matches on the attempt, not only the id: after a rescue two workers can believe they hold a job, and
//! the older one must not write.

pub mod rescue;

use super::{Failure, Lease, Outcome, enqueue::dedupe};
use base::JobId;
use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgExecutor};
use std::collections::HashSet;

/// What the settle found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Written now; goes with the transaction.
    Now,
    /// As `Now`; the older job that waited with its dedupe key has ended as cancelled: announce it.
    InPlaceOf(JobId),
    /// Not what was asked for: a newer job waits with its dedupe key, so this one has ended as cancelled.
    Superseded,
    /// Not what was asked for: somebody wanted it stopped, so instead of coming back it has ended as cancelled.
    Cancelled,
    /// This very attempt was settled before: its COMMIT landed and the reply was lost. Write nothing more.
    Before,
}

/// An attempt's end was not written.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Another worker owns the job now, or it was cancelled; the caller must drop its result.
    #[error("lease on job {job} was lost at attempt {attempt}")]
    LeaseLost { job: JobId, attempt: i32 },
    #[error("could not record the outcome of job {job}")]
    Database {
        job: JobId,
        #[source]
        source: sqlx::Error,
    },
}

/// Writes the outcome of the attempt that `lease` names. `failure` says why it did not succeed.
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
    if !outcome.comes_back() {
        return write(conn, lease, outcome, failure).await;
    }
    let Some(key) = dedupe::key_of(conn, lease).await.map_err(database)? else {
        return write(conn, lease, outcome, failure).await;
    };
    let mut transaction = conn.begin().await.map_err(database)?;
    let place = dedupe::place(&mut transaction, lease, &key)
        .await
        .map_err(database)?;
    let settled = if place == dedupe::Place::TakenByNewer {
        let failure = dedupe::superseded();
        write(&mut transaction, lease, &Outcome::Cancelled, Some(&failure)).await?
    } else {
        write(&mut transaction, lease, outcome, failure).await?
    };
    transaction.commit().await.map_err(database)?;
    Ok(match (settled, place) {
        (Settled::Now, dedupe::Place::TakenByNewer) => Settled::Superseded,
        (Settled::Now, dedupe::Place::TakenFrom(older)) => Settled::InPlaceOf(older),
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
            let delay = super::claim::interval(*delay);
            retry(conn, lease, delay, failure).await
        }
        Outcome::Snoozed { until } => hand_back(conn, lease, "scheduled", Some(*until)).await,
        Outcome::Waiting { children } => wait(conn, lease, *children).await,
        Outcome::Interrupted => hand_back(conn, lease, "available", None).await,
    }
    .map_err(database)?;
    if !written && outcome.comes_back() {
        // Not held any more, or held and not wanted.
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
        return Ok(Settled::Now);
    }
    if was_settled(conn, lease, outcome).await.map_err(database)? {
        Ok(Settled::Before)
    } else {
        Err(SettleError::LeaseLost {
            job: lease.job,
            attempt: lease.attempt,
        })
    }
}

/// Settles attempts that succeeded and have nothing else to write, with one statement: no transaction is needed around it.
/// Returns the jobs whose end was written now; of the others the lease was lost, or this very call was committed before and
/// its reply lost.
///
/// # Errors
/// If the database cannot be asked, or refuses an output (a NUL in a string): then nothing was written. A lost reply may
/// have been a commit: call again.
pub async fn settle_succeeded<'c>(
    executor: impl PgExecutor<'c>,
    succeeded: &[(Lease, &serde_json::Value)],
) -> Result<HashSet<JobId>, sqlx::Error> {
    let written = sqlx::query_scalar!(
        r#"with settled as (
               delete from jobs
               using unnest($1::uuid[], $2::uuid[], $3::int[], $4::jsonb[]) as ended (tenant_id, id, attempt, output)
               where jobs.tenant_id = ended.tenant_id and jobs.id = ended.id and jobs.attempt = ended.attempt
                 and state = 'running'
               returning jobs.id, jobs.tenant_id, kind, queue, priority, jobs.attempt, errors, crashes, max_attempts,
                   args, worker_id, run_at, started_at, created_at, request_id, traceparent, dedupe_key, parent_id, children,
                   ended.output
           )
           insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
               args, worker_id, run_at, started_at, created_at, request_id, traceparent, dedupe_key, parent_id, children,
               output)
           select id, tenant_id, kind, queue, 'succeeded', priority, attempt, errors, crashes, max_attempts,
               args, worker_id, run_at, started_at, created_at, request_id, traceparent, dedupe_key, parent_id, children,
               output
           from settled
           returning id as "id: JobId""#,
        &succeeded.iter().map(|(lease, _)| lease.tenant.0).collect::<Vec<_>>(),
        &succeeded.iter().map(|(lease, _)| lease.job.0).collect::<Vec<_>>(),
        &succeeded.iter().map(|(lease, _)| lease.attempt).collect::<Vec<_>>(),
        &succeeded.iter().map(|(_, output)| (*output).clone()).collect::<Vec<_>>(),
    )
    .fetch_all(executor)
    .await?;
    Ok(written.into_iter().collect())
}

/// Moves the job out of the hot table.
async fn finish(
    conn: &mut PgConnection,
    lease: Lease,
    state: &str,
    output: Option<&serde_json::Value>,
    failure: Option<&Failure>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with settled as (
             delete from jobs
             where tenant_id = $7 and id = $1 and attempt = $2 and state = 'running' returning *
         )
         insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
             args, worker_id, run_at, started_at, created_at, request_id, traceparent, dedupe_key, parent_id, children,
             output, error_code, error_message)
         select id, tenant_id, kind, queue, $3, priority, attempt, errors + ($3 = 'discarded')::int, crashes, max_attempts,
             args, worker_id, run_at, started_at, created_at, request_id, traceparent, dedupe_key, parent_id, children, $4, $5, $6
         from settled",
        lease.job.0,
        lease.attempt,
        state,
        output,
        failure.map(|failure| failure.code),
        failure.map(|failure| failure.message.as_str()),
        lease.tenant.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn retry(
    conn: &mut PgConnection,
    lease: Lease,
    delay: sqlx::postgres::types::PgInterval,
    failure: Option<&Failure>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update jobs
         set state = 'retryable', errors = errors + 1, run_at = now() + $3, worker_id = null, lease_until = null,
             last_error_code = $4, last_error_message = $5, progress = null, progress_note = null
         where tenant_id = $6 and id = $1 and attempt = $2 and state = 'running' and cancel_requested_at is null",
        lease.job.0,
        lease.attempt,
        delay,
        failure.map(|failure| failure.code),
        failure.map(|failure| failure.message.as_str()),
        lease.tenant.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the attempt back: nothing is counted.
async fn hand_back(
    conn: &mut PgConnection,
    lease: Lease,
    state: &str,
    until: Option<DateTime<Utc>>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update jobs
         set state = $3, run_at = coalesce($4, run_at), worker_id = null, lease_until = null,
             progress = null, progress_note = null
         where tenant_id = $5 and id = $1 and attempt = $2 and state = 'running' and cancel_requested_at is null",
        lease.job.0,
        lease.attempt,
        state,
        until,
        lease.tenant.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets the job wait for its children: scheduled, and never due.
async fn wait(conn: &mut PgConnection, lease: Lease, children: i32) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update jobs
         set state = 'scheduled', awaits_children = true, children = children + $3, worker_id = null, lease_until = null,
             progress = null, progress_note = null
         where tenant_id = $4 and id = $1 and attempt = $2 and state = 'running' and cancel_requested_at is null",
        lease.job.0,
        lease.attempt,
        children,
        lease.tenant.0,
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
