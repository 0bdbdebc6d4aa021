//! The loops of a worker: each is a task with a shutdown arm, and none of them ends because the database is down.

mod cancel;
mod claim;
mod duty;
mod heartbeat;
mod lease;
mod rescue;
mod wake;

use super::engine::{ClaimedJob, Engine};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Starts the loops that serve all queues.
pub(super) fn start(engine: &Arc<Engine>) {
    engine.tracker.spawn(lease::run(engine.clone()));
    engine.tracker.spawn(cancel::run(engine.clone()));
    engine.tracker.spawn(wake::run(engine.clone()));
    engine.tracker.spawn(heartbeat::run(engine.clone()));
    engine.tracker.spawn(rescue::run(engine.clone()));
    engine.tracker.spawn(duty::run(engine.clone()));
}

/// Starts claiming jobs of one queue into the returned channel.
pub(super) fn claim_from(engine: &Arc<Engine>, queue: &'static str) -> mpsc::Receiver<ClaimedJob> {
    // As many places as slots: the claim loop never waits for the channel while it holds leases.
    let slots = engine.queue(queue).slots.available_permits().max(1);
    let (jobs, claimed) = mpsc::channel(slots);
    engine
        .tracker
        .spawn(claim::run(engine.clone(), queue, jobs));
    claimed
}
