//! The results of an enqueue: [`Enqueued`] and [`EnqueueError`].

use crate::{coalesce::CoalesceError, signals::notifier::Notifier};
use base::JobId;

/// The result of an enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    Inserted(JobId),
    /// Inserted, replacing others: call [`Replaced::notify`] after the commit.
    Replacing {
        job: JobId,
        replaced: Replaced,
    },
    /// The external id names this job, for the same request; or this job waits with the dedupe key, and does not start
    /// before the transaction ends.
    Existing(JobId),
}

/// The jobs that a new job replaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// The job that waited and is now cancelled.
    pub superseded: Option<JobId>,
    /// Running jobs whose cancellation was requested now.
    pub cancel_requested: Vec<JobId>,
}

impl Replaced {
    /// Notifies those who wait for these jobs, and the workers that run them. Call it after the commit.
    pub fn notify(&self, notifier: &Notifier) {
        if let Some(job) = &self.superseded {
            notifier.job_finished(*job);
        }
        for job in &self.cancel_requested {
            notifier.cancel_requested(*job);
        }
    }
}

/// A job was not enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    #[error("external id is in use for another request, by job {existing}")]
    KeyReused { existing: JobId },
    #[error("could not insert the job")]
    Database(#[from] sqlx::Error),
    /// Another transaction held the lock of the dedupe key for as long as the connection waits for locks.
    #[error("another transaction is enqueueing a job with this dedupe key")]
    DedupeKeyLocked(#[source] sqlx::Error),
    /// The connection broke during the commit of this job and others: they may or may not be inserted.
    #[error("could not insert a batch of jobs")]
    Batch(#[source] std::sync::Arc<sqlx::Error>),
    #[error("could not pass the job to the enqueuer")]
    Coalesce(#[from] CoalesceError),
}

/// For callers to whom it makes no difference why the database refused.
impl From<EnqueueError> for sqlx::Error {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(source) | EnqueueError::DedupeKeyLocked(source) => source,
            other @ (EnqueueError::KeyReused { .. }
            | EnqueueError::Batch(_)
            | EnqueueError::Coalesce(_)) => Self::Encode(Box::new(other)),
        }
    }
}
