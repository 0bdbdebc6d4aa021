//! Settles attempts together that succeeded and wrote nothing else: while one statement is under way, the next gathers.
//!
//! See [`Batcher::settle`]. A batch under no load is a batch of one, sent at once; there is no timer to wait for.

use crate::runtime::recorder::{EndedAttempt, Recorder};
use crate::{Job, settle_succeeded};
use base::{JobId, db, telemetry::chain};
use serde_json::Value;
use sqlx::PgPool;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// Jobs per statement: past some hundreds a larger one gains nothing.
const BATCH: usize = 500;

/// An attempt that ended well and waits for its batch.
struct Ended {
    job: Arc<Job>,
    output: Value,
    settled: oneshot::Sender<Answer>,
}

/// What became of it; the output comes back with it.
pub enum Answer {
    Settled(Value),
    /// The batch could not be settled, or not with this attempt in it: settle it alone.
    Alone(Value),
}

/// A handle to the task that settles; cheap to clone.
#[derive(Clone)]
pub struct Batcher {
    ended: mpsc::UnboundedSender<Ended>,
}

impl Batcher {
    /// Starts the task. It ends with the last handle.
    pub fn spawn(pool: PgPool, recorder: Recorder, tracker: &TaskTracker) -> Self {
        // As many can wait as jobs run: the slots are the bound.
        let (ended, inbox) = mpsc::unbounded_channel();
        tracker.spawn(run(pool, recorder, inbox));
        Self { ended }
    }

    /// Settles the attempt as succeeded, together with others; `None` only while the process is being torn down.
    pub async fn settle(&self, job: Arc<Job>, output: Value) -> Option<Answer> {
        let (settled, answer) = oneshot::channel();
        let ended = Ended {
            job,
            output,
            settled,
        };
        self.ended.send(ended).ok()?;
        answer.await.ok()
    }
}

async fn run(pool: PgPool, recorder: Recorder, mut inbox: mpsc::UnboundedReceiver<Ended>) {
    let mut batch = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        // In the order in which leases are renewed: neither waits for a job that the other has while having one it waits for.
        batch.sort_unstable_by_key(|ended| (ended.job.lease.tenant, ended.job.lease.job));
        let settled = match settle(&pool, &recorder, &batch).await {
            Ok(settled) => settled,
            Err(error) => {
                // Each is settled alone then: that path waits out a database that is away, and finds the one at fault.
                if db::is_transient(&error) {
                    tracing::warn!(
                        error = chain(&error),
                        jobs = batch.len(),
                        "could not settle a batch"
                    );
                }
                HashSet::new()
            }
        };
        for ended in batch.drain(..) {
            let answer = if settled.contains(&ended.job.lease.job) {
                Answer::Settled(ended.output)
            } else {
                Answer::Alone(ended.output)
            };
            // Nobody waits for the answer of an attempt that was dropped meanwhile.
            let _unheard = ended.settled.send(answer);
        }
    }
}

/// Settles the batch, with its records where there is a recorder, and returns the jobs whose end was written now.
async fn settle(
    pool: &PgPool,
    recorder: &Recorder,
    batch: &[Ended],
) -> Result<HashSet<JobId>, sqlx::Error> {
    let succeeded: Vec<_> = batch
        .iter()
        .map(|ended| (ended.job.lease, &ended.output))
        .collect();
    let Some(recorder) = recorder else {
        return settle_succeeded(pool, &succeeded).await;
    };
    // A transaction on the pool that has no ROLLBACK hook: this task awaits each step to its end, so no future is dropped
    // between BEGIN and COMMIT.
    let mut transaction = pool.begin().await?;
    let settled = settle_succeeded(&mut *transaction, &succeeded).await?;
    let ended: Vec<_> = batch
        .iter()
        .filter(|ended| settled.contains(&ended.job.lease.job))
        .map(|ended| EndedAttempt::succeeded(&ended.job))
        .collect();
    recorder.record(&mut transaction, &ended).await?;
    transaction.commit().await?;
    Ok(settled)
}
