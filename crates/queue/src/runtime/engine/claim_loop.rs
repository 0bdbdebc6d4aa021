//! Claims as many jobs as there are free slots, until a claim brings nothing; then waits to be woken.
//!
//! Woken by a notification and by the look at the queue that does not need one (`wake_loop`).

use super::{Claimed, Engine};
use crate::claim::{
    Claim, Claimed as Batch, Room, Turn,
    resume::{Marks, claim_onward},
    under_limits::claim_limited,
};
use base::telemetry::millis;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};

/// Rows per statement: past some hundreds a larger claim gains nothing and holds its row locks longer.
const BATCH: usize = 500;
/// While more waits than fits, freed slots are gathered this long: a settled batch frees hundreds, one after the other,
/// and the first of them alone is not worth a statement.
const GATHER: Duration = Duration::from_millis(1);
/// Under limits a slot may become free on another worker, of which nobody tells.
const LIMITED_POLL: Duration = Duration::from_millis(200);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

pub(super) async fn run(engine: Arc<Engine>, queue: &'static str, jobs: mpsc::Sender<Claimed>) {
    let kinds = engine.registry.kinds_of(queue);
    let mut retry = FIRST_RETRY;
    let mut turn = Turn::default();
    let mut marks = Marks::default();
    let mut more_waits = false;
    loop {
        let gather = if more_waits { GATHER } else { Duration::ZERO };
        let Some(mut slots) = free_slots(&engine, queue, gather).await else {
            return;
        };
        let asked = slots.len();
        let claimed_at = Instant::now();
        let request = Claim {
            worker: engine.worker,
            queue,
            kinds: &kinds,
            lease: engine.config.lease,
            limit: u32::try_from(asked).expect("a batch fits into a u32"),
            turn,
            priorities: &turn.priorities(),
            room: &Room::UNLIMITED,
        };
        let count = |result| {
            engine
                .metrics
                .claims_total
                .with_label_values(&[queue, result])
                .inc();
        };
        let claimed = match look_and_claim(&engine, &request, &mut marks).await {
            Ok(claimed) => {
                turn = claimed.turn;
                claimed.jobs
            }
            Err(error) => {
                count("error");
                tracing::warn!(%error, queue, retry_ms = millis(retry), "could not claim; trying again");
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
        let put_off = marks.put_off();
        engine.set_looks_itself(queue, put_off.is_some());
        count(if claimed.is_empty() { "empty" } else { "jobs" });
        let exhausted = claimed.is_empty();
        more_waits = claimed.len() == asked;
        for job in claimed {
            let job = Arc::new(job);
            let word = engine.held.add(job.lease, claimed_at, engine.config.lease);
            let slot = slots
                .pop()
                .expect("no more jobs are returned than were asked for");
            if let Err(refused) = jobs.send(Claimed { job, slot, word }).await {
                // The runtime has stopped taking jobs; this one was never started.
                crate::runtime::executor::hand_back(&engine, refused.0).await;
            }
        }
        drop(slots);
        if exhausted {
            tokio::select! {
                () = engine.stopping.cancelled() => return,
                () = engine.queue(queue).wake.notified() => {}
                () = tokio::time::sleep(LIMITED_POLL), if engine.is_limited() => {}
                () = tokio::time::sleep(put_off.unwrap_or_default()), if put_off.is_some() => {}
            }
        }
    }
}

async fn look_and_claim(
    engine: &Engine,
    request: &Claim<'_>,
    marks: &mut Marks,
) -> Result<Batch, sqlx::Error> {
    if engine.is_limited() {
        claim_limited(&engine.pool, request).await
    } else {
        claim_onward(&engine.queue_pool, request, marks).await
    }
}

/// Waits for a free slot and takes it with all others that are free, or become free while it gathers; `None` when the
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
