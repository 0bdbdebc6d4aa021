//! The claim loop of a queue: claims as many jobs as there are free slots until no job waits, then sleeps until it is woken.
//!
//! It is woken by a notification, or by the poll of the wake loop, which needs none.

use crate::claim::{
    Capacity, Claim, ClaimBatch, FairnessTurn,
    resume::{ScanCursor, resume_claim},
    under_limits::claim_under_limits,
};
use crate::operate::limits;
use crate::runtime::{
    engine::{ClaimedJob, Engine},
    executor::hand_back,
};
use base::telemetry::{chain, millis};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};

/// Rows per statement: past some hundreds a larger claim gains nothing and holds its row locks longer.
const BATCH: usize = 500;
/// How long the loop gathers free slots while more jobs wait than fit: a settled batch frees hundreds of slots one after the
/// other, and the first alone is not worth a statement.
const GATHER: Duration = Duration::from_millis(1);
/// The time between claims under limits: a job that ends on another worker frees capacity without a notification.
const LIMITED_POLL: Duration = Duration::from_millis(200);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

pub(super) async fn run(engine: Arc<Engine>, queue: &'static str, jobs: mpsc::Sender<ClaimedJob>) {
    let kinds = engine.registry.kinds_of(queue);
    let mut retry = FIRST_RETRY;
    let mut turn = FairnessTurn::default();
    let mut cursor = ScanCursor::default();
    let mut more_waits = false;
    let count = |result| {
        engine
            .metrics
            .claims_total
            .with_label_values(&[queue, result])
            .inc();
    };
    if !read_limits(&engine, queue, || count("error")).await {
        return;
    }
    loop {
        let gather = if more_waits { GATHER } else { Duration::ZERO };
        let Some(mut slots) = free_slots(&engine, queue, gather).await else {
            return;
        };
        let requested = slots.len();
        let claimed_at = Instant::now();
        let request = Claim {
            worker: engine.worker,
            queue,
            kinds: &kinds,
            lease: engine.config.lease,
            limit: u32::try_from(requested).expect("a batch fits into a u32"),
            turn,
            priorities: &turn.priorities(),
            capacity: &Capacity::UNLIMITED,
        };
        let claimed = match claim(&engine, &request, &mut cursor).await {
            Ok(batch) => {
                engine.database.claimed(queue, Ok(()));
                turn = batch.turn;
                batch.jobs
            }
            Err(error) => {
                count("error");
                engine.database.claimed(queue, Err(&error));
                tracing::warn!(
                    error = chain(&error),
                    queue,
                    retry_ms = millis(retry),
                    "could not claim jobs; retrying"
                );
                drop(slots);
                tokio::select! {
                    () = engine.stopping.cancelled() => return,
                    () = tokio::time::sleep(retry) => {}
                }
                retry = (retry * 2).min(LAST_RETRY);
                continue;
            }
        };
        retry = FIRST_RETRY;
        let rescan_in = cursor.rescan_in();
        engine.set_rescans(queue, rescan_in.is_some());
        count(if claimed.is_empty() { "empty" } else { "jobs" });
        let exhausted = claimed.is_empty();
        more_waits = claimed.len() == requested;
        for job in claimed {
            let job = Arc::new(job);
            let signal = engine
                .leases
                .add(job.lease, claimed_at, engine.config.lease);
            let slot = slots
                .pop()
                .expect("a claim returns no more jobs than requested");
            if let Err(refused) = jobs.send(ClaimedJob { job, slot, signal }).await {
                // The runtime takes no more jobs; this one has not started.
                hand_back(&engine, refused.0).await;
            }
        }
        drop(slots);
        if exhausted {
            tokio::select! {
                () = engine.stopping.cancelled() => return,
                () = engine.queue(queue).wake.notified() => {}
                () = tokio::time::sleep(LIMITED_POLL), if engine.is_limited() => {}
                () = tokio::time::sleep(rescan_in.unwrap_or_default()), if rescan_in.is_some() => {}
            }
        }
    }
}

/// Reads whether limits apply before the first claim, which must not exceed one. Each failure is one of the claim. Returns
/// `false` if the worker stops.
async fn read_limits(engine: &Engine, queue: &'static str, count_failure: impl Fn()) -> bool {
    let mut retry = FIRST_RETRY;
    loop {
        match limits::any(&engine.queue_pool).await {
            Ok(limited) => {
                engine.set_limited(limited);
                return true;
            }
            Err(error) => {
                count_failure();
                engine.database.claimed(queue, Err(&error));
                tracing::warn!(
                    error = chain(&error),
                    retry_ms = millis(retry),
                    "could not read the limits; retrying before the first claim"
                );
            }
        }
        tokio::select! {
            () = engine.stopping.cancelled() => return false,
            () = tokio::time::sleep(retry) => retry = (retry * 2).min(LAST_RETRY),
        }
    }
}

async fn claim(
    engine: &Engine,
    request: &Claim<'_>,
    cursor: &mut ScanCursor,
) -> Result<ClaimBatch, sqlx::Error> {
    if engine.is_limited() {
        claim_under_limits(&engine.pool, request).await
    } else {
        resume_claim(&engine.queue_pool, request, cursor).await
    }
}

/// Waits for a free slot and takes it together with all others that are free after gathering; returns `None` when the
/// worker stops.
async fn free_slots(
    engine: &Engine,
    queue: &str,
    gather: Duration,
) -> Option<Vec<OwnedSemaphorePermit>> {
    let semaphore: &Arc<Semaphore> = &engine.queue(queue).slots;
    let first = tokio::select! {
        biased;
        () = engine.stopping.cancelled() => return None,
        slot = semaphore.clone().acquire_owned() => slot.ok()?,
    };
    let mut slots = vec![first];
    if !gather.is_zero() && semaphore.available_permits() < BATCH {
        tokio::time::sleep(gather).await;
    }
    while slots.len() < BATCH {
        match semaphore.clone().try_acquire_owned() {
            Ok(slot) => slots.push(slot),
            Err(_) => break,
        }
    }
    Some(slots)
}
