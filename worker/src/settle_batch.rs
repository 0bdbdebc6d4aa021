//! Settles attempts together that succeeded and wrote nothing else: while one statement is under way, the next gathers.
//!
//! See [`Batcher::settle`]. A batch under no load is a batch of one, sent at once; there is no timer to wait for.

use jobs::{
    db,
    domain::{WorkerId, audit::Action},
    queue::{Job, settle_succeeded},
    telemetry::chain,
};
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
    pub fn spawn(worker: WorkerId, pool: PgPool, tracker: &TaskTracker) -> Self {
        // As many can wait as jobs run: the slots are the bound.
        let (ended, inbox) = mpsc::unbounded_channel();
        tracker.spawn(run(worker, pool, inbox));
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

async fn run(worker: WorkerId, pool: PgPool, mut inbox: mpsc::UnboundedReceiver<Ended>) {
    let action = Action::JOB_SUCCEEDED.as_str();
    let mut batch = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        // In the order in which leases are renewed: neither waits for a job that the other has while having one it waits for.
        batch.sort_unstable_by_key(|ended| (ended.job.lease.tenant, ended.job.lease.job));
        let succeeded: Vec<_> = batch
            .iter()
            .map(|ended| (ended.job.lease, &ended.output))
            .collect();
        let settled = match settle_succeeded(&pool, worker, action, &succeeded).await {
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
