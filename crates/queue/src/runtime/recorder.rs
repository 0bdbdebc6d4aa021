//! The hook for a log of the program's own: [`AttemptRecorder`] writes in the transaction that ends attempts.
//!
//! An audit log or a ledger of costs must neither miss an end nor tell of one that was rolled back; so its rows commit
//! together with the outcome. A queue without a recorder settles its plain successes in a single statement.

use crate::{
    Failure, Job, Outcome,
    enqueue::dedupe::SUPERSEDED,
    run::cancel::CANCELLED,
    settle::rescue::{POISON, Rescued},
};
use async_trait::async_trait;
use base::{JobId, TenantId, WorkerId};
use sqlx::{PgConnection, PgPool};
use std::sync::Arc;

/// What an attempt, or a job that was waiting, ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Succeeded,
    Retried,
    Snoozed,
    Waiting,
    Interrupted,
    Discarded,
    Cancelled,
    /// Its worker stopped; the job is available again.
    Rescued,
}

impl From<&Outcome> for End {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded { .. } => Self::Succeeded,
            Outcome::Retried { .. } => Self::Retried,
            Outcome::Snoozed { .. } => Self::Snoozed,
            Outcome::Waiting { .. } => Self::Waiting,
            Outcome::Interrupted => Self::Interrupted,
            Outcome::Discarded => Self::Discarded,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

/// One end to record.
#[derive(Clone, Debug)]
pub struct EndedAttempt {
    pub tenant: TenantId,
    pub job: JobId,
    /// `None` for a job that was waiting and never ran again: it was superseded.
    pub attempt: Option<i32>,
    /// The worker that settled it; `None` if it was rescued from a dead one.
    pub worker: Option<WorkerId>,
    pub end: End,
    /// The code of the failure, if it was one.
    pub code: Option<&'static str>,
    pub request_id: Option<String>,
    /// W3C `traceparent` of the request that enqueued the job.
    pub traceparent: Option<String>,
}

impl EndedAttempt {
    /// The end of the attempt that holds `job`.
    pub fn of(job: &Job, outcome: &Outcome, failure: Option<&Failure>) -> Self {
        Self {
            end: outcome.into(),
            code: failure.map(|failure| failure.code),
            ..Self::succeeded(job)
        }
    }

    /// The plain success of the attempt that holds `job`.
    pub fn succeeded(job: &Job) -> Self {
        Self {
            tenant: job.tenant,
            job: job.lease.job,
            attempt: Some(job.lease.attempt),
            worker: Some(job.lease.worker),
            end: End::Succeeded,
            code: None,
            request_id: job.request_id.clone(),
            traceparent: job.traceparent.clone(),
        }
    }

    /// A waiting job that gave its dedupe key to a newer one.
    pub fn superseded(tenant: TenantId, older: JobId, worker: Option<WorkerId>) -> Self {
        Self {
            tenant,
            job: older,
            attempt: None,
            worker,
            end: End::Cancelled,
            code: Some(SUPERSEDED),
            request_id: None,
            traceparent: None,
        }
    }

    /// The attempt that a rescue ended, and the older job that it superseded, if there is one.
    pub fn of_rescued(rescued: &Rescued) -> impl Iterator<Item = Self> {
        let (end, code) = if rescued.poisoned {
            (End::Discarded, POISON)
        } else if rescued.unwanted {
            (End::Cancelled, CANCELLED)
        } else if rescued.superseded {
            (End::Cancelled, SUPERSEDED)
        } else {
            (End::Rescued, "worker_lost")
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
            .in_place_of
            .map(|older| Self::superseded(rescued.tenant, older, None));
        std::iter::once(lost).chain(older)
    }
}

/// Records ended attempts in the transaction that ends them.
#[async_trait]
pub trait AttemptRecorder: Send + Sync + 'static {
    /// Writes one entry for each end, in their order. May be called again for the same ends in a new transaction if the
    /// first could not commit.
    async fn record(
        &self,
        conn: &mut PgConnection,
        ended: &[EndedAttempt],
    ) -> Result<(), sqlx::Error>;
}

/// The recorder of a program, if it has one; clones share it.
pub type Recorder = Option<Arc<dyn AttemptRecorder>>;

/// Rescues up to `limit` jobs whose lease has expired, not before `since`, and records their ends with them.
///
/// # Errors
/// If the database cannot be asked; then nothing was rescued, or its reply was lost and the next call finds the rest.
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
