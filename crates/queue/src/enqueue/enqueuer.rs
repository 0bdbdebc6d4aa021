//! Putting jobs into the queue one by one at the speed of many: [`Enqueuer`].
//!
//! Callers at the same time share a statement and its commit, and each is answered only after that. For a job that must
//! be written together with other things there is [`super::enqueue`], inside the caller's own transaction.

use super::bulk;
use crate::coalesce::{Asked, Coalescer, Reply};
use crate::{EnqueueError, Enqueued, NewJob, signals::notifier::Notifier};
use base::db::{self, DbError, PoolConfig};
use sqlx::PgPool;
use std::collections::HashSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// While one batch commits the next is inserted. Not measured against other numbers of lanes.
const LANES: usize = 2;

/// A handle for enqueueing; cheap to clone.
#[derive(Clone)]
pub struct Enqueuer {
    coalescer: Coalescer<NewJob, Result<Enqueued, EnqueueError>>,
}

/// What a batch needs.
#[derive(Clone)]
struct Tools {
    /// For single statements.
    direct: PgPool,
    /// For transactions.
    pool: PgPool,
    notifier: Notifier,
    tracker: TaskTracker,
}

impl Enqueuer {
    /// Opens two connections of its own and starts its tasks in `tracker`. They end when `stop` is set and what was
    /// handed in before is answered.
    ///
    /// # Errors
    /// If the database cannot be reached.
    pub async fn spawn(
        config: &PoolConfig,
        pool: PgPool,
        notifier: Notifier,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, DbError> {
        let connections = u32::try_from(LANES).expect("two lanes");
        let tools = Tools {
            direct: db::connect_autocommit(config, connections).await?,
            pool,
            notifier,
            tracker: tracker.clone(),
        };
        let coalescer = Coalescer::spawn(LANES, tracker, stop, move |batch| {
            enqueue_batch(tools.clone(), batch)
        });
        Ok(Self { coalescer })
    }

    /// Inserts the job, or finds the one that its external id or dedupe key names, and wakes its workers. It is committed when this
    /// returns; when the future is dropped instead, it may or may not be.
    ///
    /// # Errors
    /// [`EnqueueError::KeyReused`] if the external id was used with another fingerprint, [`EnqueueError::Unanswered`] if
    /// too many callers wait, and what the database says to this job alone.
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued, EnqueueError> {
        self.coalescer.ask(job).await?
    }
}

async fn enqueue_batch(tools: Tools, batch: Vec<Asked<NewJob, Result<Enqueued, EnqueueError>>>) {
    let (jobs, replies): (Vec<NewJob>, Vec<Reply<_>>) = batch
        .into_iter()
        .map(|asked| (asked.request, asked.reply))
        .unzip();
    match commit(&tools, &jobs).await {
        Ok(answers) => {
            wake(&tools.notifier, &jobs, &answers);
            for (reply, answer) in replies.into_iter().zip(answers) {
                reply.send(answer);
            }
        }
        // The server has refused the statement, and so undone it: one of the jobs is at fault, the others are not. Not
        // so when the connection broke: the commit may have landed, and a job that was also run by now would run again.
        Err(sqlx::Error::Database(_)) if jobs.len() > 1 => {
            for (job, reply) in jobs.into_iter().zip(replies) {
                // Not one after the other: a job that waits for another transaction's key keeps nobody from the lane.
                tools
                    .tracker
                    .spawn(enqueue_alone(tools.clone(), job, reply));
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

async fn enqueue_alone(tools: Tools, job: NewJob, reply: Reply<Result<Enqueued, EnqueueError>>) {
    let jobs = [job];
    let answer = match commit(&tools, &jobs).await {
        Ok(mut answers) => {
            wake(&tools.notifier, &jobs, &answers);
            answers.remove(0)
        }
        Err(error) => Err(EnqueueError::Database(error)),
    };
    reply.send(answer);
}

/// Returns only once all of them are committed.
async fn commit(
    tools: &Tools,
    jobs: &[NewJob],
) -> Result<Vec<Result<Enqueued, EnqueueError>>, sqlx::Error> {
    if jobs.iter().all(bulk::is_one_statement) {
        let mut connection = tools.direct.acquire().await?;
        return bulk::enqueue_many(&mut connection, jobs).await;
    }
    let mut transaction = tools.pool.begin().await?;
    let answers = bulk::enqueue_many(&mut transaction, jobs).await?;
    transaction.commit().await?;
    Ok(answers)
}

fn wake(notifier: &Notifier, jobs: &[NewJob], answers: &[Result<Enqueued, EnqueueError>]) {
    let mut queues = HashSet::new();
    for (job, answer) in jobs.iter().zip(answers) {
        match answer {
            Ok(Enqueued::Inserted(_)) => {}
            Ok(Enqueued::Replacing { replaced, .. }) => replaced.announce(notifier),
            // Claims passed over the waiting job while this transaction held it.
            Ok(Enqueued::Existing(_)) if job.dedupe.is_some() => {}
            Ok(Enqueued::Existing(_)) | Err(_) => continue,
        }
        queues.insert(job.queue);
    }
    for queue in queues {
        notifier.job_available(queue);
    }
}
