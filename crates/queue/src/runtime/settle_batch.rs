//! Settles attempts in batches that succeeded and write nothing else: while one statement runs, the next batch gathers.
//!
//! See [`Batcher::settle`]. Without load a batch is a single attempt that is sent at once; there is no timer.

use crate::runtime::recorder::Recorder;
use crate::{Job, settle_succeeded};
use base::{JobId, db, telemetry::chain};
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;
use sqlx::PgPool;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Jobs per statement: past some hundreds a larger one gains nothing.
const BATCH: usize = 500;
/// Jobs that are worth a second statement while the first waits for the disk.
const SECOND_BATCH: usize = 100;

/// An attempt that succeeded and waits for its batch.
struct SucceededAttempt {
    job: Arc<Job>,
    output: Value,
    end: Box<dyn FnOnce(BatchReply) + Send>,
}

/// The result of the batch for one attempt; returns the output.
pub enum BatchReply {
    Settled(Value),
    /// The batch failed, or did not settle this attempt: settle it alone.
    SettleAlone(Value),
}

/// A handle of the settling task; cheap to clone.
#[derive(Clone)]
pub struct Batcher {
    ended: mpsc::UnboundedSender<SucceededAttempt>,
}

impl Batcher {
    /// Starts the task. It ends when `drained` is set, after all attempts that were passed to it.
    pub fn spawn(
        pool: PgPool,
        recorder: Recorder,
        tracker: &TaskTracker,
        drained: CancellationToken,
    ) -> Self {
        // Bounded by the slots: no more attempts wait than jobs run.
        let (ended, inbox) = mpsc::unbounded_channel();
        tracker.spawn(run(pool, recorder, inbox, drained));
        Self { ended }
    }

    /// Settles the attempt as succeeded, together with others, and calls `end` with the result.
    ///
    /// A call costs less than a task that waits. It must not block: the next attempts of the batch wait for it. It is dropped
    /// only while the process ends.
    pub(super) fn settle(
        &self,
        job: Arc<Job>,
        output: Value,
        end: impl FnOnce(BatchReply) + Send + 'static,
    ) {
        let end = Box::new(end);
        drop(self.ended.send(SucceededAttempt { job, output, end }));
    }
}

async fn run(
    pool: PgPool,
    recorder: Recorder,
    mut inbox: mpsc::UnboundedReceiver<SucceededAttempt>,
    drained: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut settling = FuturesUnordered::new();
    loop {
        let free = BATCH - batch.len();
        tokio::select! {
            biased;
            Some(()) = settling.next() => {}
            received = inbox.recv_many(&mut batch, free), if free > 0 => {
                if received == 0 {
                    return;
                }
            }
            // The engine holds a handle as long as it waits for this task, so the channel alone would never end it.
            () = drained.cancelled() => return,
        }
        let is_worthwhile = batch.len() >= SECOND_BATCH && settling.len() < 2;
        if is_worthwhile || (settling.is_empty() && !batch.is_empty()) {
            let batch = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            settling.push(settle_and_end(&pool, &recorder, batch));
        }
    }
}

async fn settle_and_end(pool: &PgPool, recorder: &Recorder, mut batch: Vec<SucceededAttempt>) {
    // The order in which renewals lock their jobs. It also makes one audit entry of each tenant's.
    batch.sort_unstable_by_key(|ended| (ended.job.lease.tenant, ended.job.lease.job));
    let succeeded: Vec<(&Job, &Value)> = batch
        .iter()
        .map(|ended| (&*ended.job, &ended.output))
        .collect();
    let settled = settle(pool, recorder, &succeeded).await;
    if let Err(error) = &settled
        && db::is_transient(error)
    {
        // Each is then settled alone, which waits while the database is down and finds the invalid one.
        tracing::warn!(
            error = chain(error),
            jobs = batch.len(),
            "could not settle a batch; settling its attempts one by one"
        );
    }
    for SucceededAttempt { job, output, end } in batch {
        end(match &settled {
            Ok(unsettled) if !unsettled.contains(&job.lease.job) => BatchReply::Settled(output),
            _ => BatchReply::SettleAlone(output),
        });
    }
}

/// Settles and records the batch with one statement, and returns the jobs whose outcome was not written.
async fn settle(
    pool: &PgPool,
    recorder: &Recorder,
    succeeded: &[(&Job, &Value)],
) -> Result<HashSet<JobId>, sqlx::Error> {
    match recorder {
        None => settle_succeeded(pool, succeeded).await,
        Some(recorder) => {
            recorder
                .settle_succeeded(&mut *pool.acquire().await?, succeeded)
                .await
        }
    }
}
