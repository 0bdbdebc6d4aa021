//! [`AttemptRecorder`]: a hook that writes in the transaction or statement that ends attempts.
//!
//! An audit log or a cost ledger must neither miss an attempt nor show one that was rolled back, so its rows commit together
//! with the outcome. Successes without writes of their own are settled and recorded in a single statement.

use crate::{
    Failure, Job, Outcome,
    enqueue::dedupe::SUPERSEDED,
    run::cancel::CANCELLED,
    settle::rescue::{POISON, Rescued},
};
use async_trait::async_trait;
use base::{JobId, TenantId, WorkerId};
use sqlx::{PgConnection, PgPool};
use std::{collections::HashSet, sync::Arc};

/// How an attempt or a waiting job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    Succeeded,
    Retried,
    Snoozed,
    Waiting,
    Interrupted,
    Discarded,
    Cancelled,
    /// The worker stopped; the job is available again.
    Rescued,
}

impl From<&Outcome> for AttemptEnd {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded { .. } => Self::Succeeded,
            Outcome::Retried { .. } => Self::Retried,
            Outcome::Snoozed { .. } | Outcome::Deferred { .. } => Self::Snoozed,
            Outcome::Waiting { .. } => Self::Waiting,
            Outcome::Interrupted => Self::Interrupted,
            Outcome::Discarded => Self::Discarded,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

/// An ended attempt, as the recorder gets it.
#[derive(Clone, Debug)]
pub struct EndedAttempt {
    pub tenant: TenantId,
    pub job: JobId,
    /// `None` for a waiting job that was superseded.
    pub attempt: Option<i32>,
    /// The worker that settled the attempt; `None` if it was rescued from a dead one.
    pub worker: Option<WorkerId>,
    pub end: AttemptEnd,
    /// The failure's code, if the attempt failed.
    pub code: Option<&'static str>,
    pub request_id: Option<String>,
    /// The W3C `traceparent` of the request that enqueued the job.
    pub traceparent: Option<String>,
}

impl EndedAttempt {
    /// Describes the end of the attempt that holds `job`.
    pub fn of(job: &Job, outcome: &Outcome, failure: Option<&Failure>) -> Self {
        Self {
            tenant: job.lease.tenant,
            job: job.lease.job,
            attempt: Some(job.lease.attempt),
            worker: Some(job.lease.worker),
            end: outcome.into(),
            code: failure.map(|failure| failure.code),
            request_id: job.request_id.clone(),
            traceparent: job.traceparent.clone(),
        }
    }

    /// Describes a waiting job that a newer one with its dedupe key replaced.
    pub fn superseded(tenant: TenantId, older: JobId, worker: Option<WorkerId>) -> Self {
        Self {
            tenant,
            job: older,
            attempt: None,
            worker,
            end: AttemptEnd::Cancelled,
            code: Some(SUPERSEDED),
            request_id: None,
            traceparent: None,
        }
    }

    /// Describes the attempt that a rescue ended, and the older job that it superseded, if any.
    pub fn of_rescued(rescued: &Rescued) -> impl Iterator<Item = Self> {
        let (end, code) = if rescued.poisoned {
            (AttemptEnd::Discarded, POISON)
        } else if rescued.cancel_requested {
            (AttemptEnd::Cancelled, CANCELLED)
        } else if rescued.superseded {
            (AttemptEnd::Cancelled, SUPERSEDED)
        } else {
            (AttemptEnd::Rescued, "worker_lost")
        };
        let lost = Self {
            tenant: rescued.tenant,
            job: rescued.job,
            attempt: Some(rescued.attempt),
            worker: None,
            end,
            code: Some(code),
            request_id: rescued.request_id.clone(),
            traceparent: rescued.traceparent.clone(),
        };
        let older = rescued
            .superseded_job
            .map(|older| Self::superseded(rescued.tenant, older, None));
        std::iter::once(lost).chain(older)
    }
}

/// Records ended attempts in the transaction that ends them.
#[async_trait]
pub trait AttemptRecorder: Send + Sync + 'static {
    /// Writes one entry per attempt, in order. Called again with the same attempts in a new transaction if the first one
    /// did not commit.
    ///
    /// # Errors
    /// An error rolls back the outcomes too, and the settle is retried.
    async fn record(
        &self,
        conn: &mut PgConnection,
        ended: &[EndedAttempt],
    ) -> Result<(), sqlx::Error>;

    /// Settles attempts with their outputs as [`crate::settle_succeeded`] does, and records those that it settled, in order,
    /// in the same statement: it is the hot path, and a transaction would take three more round trips. Returns the others.
    ///
    /// # Errors
    /// As [`crate::settle_succeeded`]; nothing is settled without its record.
    async fn settle_succeeded(
        &self,
        conn: &mut PgConnection,
        succeeded: &[(&Job, &serde_json::Value)],
    ) -> Result<HashSet<JobId>, sqlx::Error>;
}

/// The recorder of a program, if any; clones share it.
pub type Recorder = Option<Arc<dyn AttemptRecorder>>;

/// Whether an attempt was deferred for the same reason as the one before. A day without the database's help is recorded once.
pub(super) async fn is_repeated(
    conn: &mut PgConnection,
    job: &Job,
    outcome: &Outcome,
    failure: Option<&Failure>,
) -> Result<bool, sqlx::Error> {
    let (Outcome::Deferred { .. }, Some(failure)) = (outcome, failure) else {
        return Ok(false);
    };
    sqlx::query_scalar!(
        r#"select exists (
               select from job_attempts
               where job_id = $1 and attempt = $2 and outcome = 'snoozed' and error_code = $3) as "repeated!""#,
        job.lease.job.0,
        job.lease.attempt - 1,
        failure.code,
    )
    .fetch_one(conn)
    .await
}

/// Rescues up to `limit` jobs whose lease expired at `since` or later, and records them.
///
/// # Errors
/// If the database fails. After a lost reply the next call finds the remaining jobs.
pub async fn rescue_recorded(
    pool: &PgPool,
    recorder: &Recorder,
    since: Option<chrono::DateTime<chrono::Utc>>,
    limit: u32,
) -> Result<Vec<Rescued>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let rescued = crate::settle::rescue::rescue(&mut transaction, since, limit).await?;
    if let Some(recorder) = recorder {
        let ended: Vec<_> = rescued.iter().flat_map(EndedAttempt::of_rescued).collect();
        recorder.record(&mut transaction, &ended).await?;
    }
    transaction.commit().await?;
    Ok(rescued)
}
