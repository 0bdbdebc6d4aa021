//! [`Enqueuer`]: enqueues single jobs at the speed of many.
//!
//! Concurrent callers share a statement and its commit, and each gets its result only after the commit. Use [`super::enqueue`]
//! for a job that must commit together with the caller's own writes.

use super::bulk;
use crate::coalesce::{Coalescer, PendingRequest, Reply};
use crate::{EnqueueError, Enqueued, NewJob, signals::notifier::Notifier};
use base::db::{self, DbError, PoolConfig};
use sqlx::PgPool;
use std::collections::HashSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// While one batch commits, the next is inserted. Other numbers of lanes were not measured.
const LANES: usize = 2;

/// A handle for enqueueing jobs. Clones are cheap and share the batches.
#[derive(Clone)]
pub struct Enqueuer {
    coalescer: Coalescer<NewJob, Result<Enqueued, EnqueueError>>,
}

/// What a batch needs.
#[derive(Clone)]
struct BatchContext {
    /// For single statements that commit by themselves.
    autocommit: PgPool,
    /// For transactions.
    pool: PgPool,
    notifier: Notifier,
    tracker: TaskTracker,
}

impl Enqueuer {
    /// Opens two connections and starts the enqueuer's tasks in `tracker`. They end when `stop` is set and all earlier calls
    /// have their result.
    ///
    /// # Errors
    /// If no connection can be made.
    pub async fn spawn(
        config: &PoolConfig,
        pool: PgPool,
        notifier: Notifier,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, DbError> {
        let connections = u32::try_from(LANES).expect("two lanes");
        let context = BatchContext {
            autocommit: db::connect_autocommit(config, connections).await?,
            pool,
            notifier,
            tracker: tracker.clone(),
        };
        let coalescer = Coalescer::spawn(LANES, tracker, stop, move |batch| {
            enqueue_batch(context.clone(), batch)
        });
        Ok(Self { coalescer })
    }

    /// Inserts the job, or finds the one that its external id or dedupe key names, and wakes workers. The job is committed
    /// when this returns; if the future is dropped, it may or may not be.
    ///
    /// # Errors
    /// [`EnqueueError::KeyReused`] if the external id was used with another fingerprint, [`EnqueueError::Coalesce`] if too
    /// many callers wait, and any error of the database that concerns this job.
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued, EnqueueError> {
        self.coalescer.call(job).await?
    }
}

async fn enqueue_batch(
    context: BatchContext,
    batch: Vec<PendingRequest<NewJob, Result<Enqueued, EnqueueError>>>,
) {
    let (jobs, replies): (Vec<NewJob>, Vec<Reply<_>>) = batch
        .into_iter()
        .map(|pending| (pending.request, pending.reply))
        .unzip();
    match commit(&context, &jobs).await {
        Ok(answers) => {
            wake(&context.notifier, &jobs, &answers);
            for (reply, answer) in replies.into_iter().zip(answers) {
                reply.send(answer);
            }
        }
        // The server refused the statement and rolled it back: one of the jobs is invalid, the others are not. After a
        // broken connection the commit may have landed, and a job that has run meanwhile would run again.
        Err(sqlx::Error::Database(_)) if jobs.len() > 1 => {
            for (job, reply) in jobs.into_iter().zip(replies) {
                // In tasks of their own: a job that waits for another transaction's key must not block the lane.
                context
                    .tracker
                    .spawn(enqueue_alone(context.clone(), job, reply));
            }
        }
        Err(error) => {
            let error = std::sync::Arc::new(error);
            for reply in replies {
                reply.send(Err(EnqueueError::Batch(error.clone())));
            }
        }
    }
}

async fn enqueue_alone(
    context: BatchContext,
    job: NewJob,
    reply: Reply<Result<Enqueued, EnqueueError>>,
) {
    let jobs = [job];
    let answer = match commit(&context, &jobs).await {
        Ok(mut answers) => {
            wake(&context.notifier, &jobs, &answers);
            answers.remove(0)
        }
        Err(error) => Err(EnqueueError::Database(error)),
    };
    reply.send(answer);
}

/// Enqueues the jobs and returns after their commit.
async fn commit(
    context: &BatchContext,
    jobs: &[NewJob],
) -> Result<Vec<Result<Enqueued, EnqueueError>>, sqlx::Error> {
    if jobs.iter().all(bulk::is_one_statement) {
        let mut connection = context.autocommit.acquire().await?;
        return Ok(bulk::enqueue_many(&mut connection, jobs).await?);
    }
    let mut transaction = context.pool.begin().await?;
    let answers = bulk::enqueue_many(&mut transaction, jobs).await?;
    transaction.commit().await?;
    Ok(answers)
}

fn wake(notifier: &Notifier, jobs: &[NewJob], answers: &[Result<Enqueued, EnqueueError>]) {
    let mut queues = HashSet::new();
    for (job, answer) in jobs.iter().zip(answers) {
        match answer {
            Ok(Enqueued::Inserted(_)) => {}
            Ok(Enqueued::Replacing { replaced, .. }) => replaced.notify(notifier),
            // Claims skipped the waiting job while this transaction held its lock.
            Ok(Enqueued::Existing(_)) if job.dedupe.is_some() => {}
            Ok(Enqueued::Existing(_)) | Err(_) => continue,
        }
        queues.insert(job.queue);
    }
    for queue in queues {
        notifier.job_available(queue);
    }
}
