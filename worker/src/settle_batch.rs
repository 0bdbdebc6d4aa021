//! Settles attempts together that succeeded and wrote nothing else: while one transaction is under way, the next gathers.
//!
//! See [`Batcher::settle`]. A batch under no load is a batch of one, sent at once; there is no timer to wait for.

use jobs::{commands::settle_succeeded, db, queue::Job, telemetry::chain};
use serde_json::Value;
use sqlx::PgPool;
use std::collections::HashSet;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// Jobs per transaction: past some hundreds a larger one gains nothing.
const BATCH: usize = 500;

/// An attempt that ended well and waits for its batch.
struct Ended {
    job: Job,
    output: Value,
    settled: oneshot::Sender<bool>,
}

/// A handle to the task that settles; cheap to clone.
#[derive(Clone)]
pub struct Batcher {
    ended: mpsc::UnboundedSender<Ended>,
}

impl Batcher {
    /// Starts the task. It ends with the last handle.
    pub fn spawn(pool: PgPool, tracker: &TaskTracker) -> Self {
        // As many can wait as jobs run: the slots are the bound.
        let (ended, inbox) = mpsc::unbounded_channel();
        tracker.spawn(run(pool, inbox));
        Self { ended }
    }

    /// Whether the attempt is now settled as succeeded. If not, its batch could not be: settle it alone.
    pub async fn settle(&self, job: &Job, output: &Value) -> bool {
        let (settled, answer) = oneshot::channel();
        let ended = Ended {
            job: job.clone(),
            output: output.clone(),
            settled,
        };
        self.ended.send(ended).is_ok() && answer.await.unwrap_or(false)
    }
}

async fn run(pool: PgPool, mut inbox: mpsc::UnboundedReceiver<Ended>) {
    let mut batch = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        let succeeded: Vec<_> = batch
            .iter()
            .map(|ended| (&ended.job, &ended.output))
            .collect();
        let settled = match settle_succeeded(&pool, &succeeded).await {
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
            // Nobody waits for the answer of an attempt that was dropped meanwhile.
            let _unheard = ended.settled.send(settled.contains(&ended.job.lease.job));
        }
    }
}
