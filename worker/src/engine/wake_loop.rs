//! Turns signals of other processes into claims, and looks for itself at everything that may need doing.
//!
//! One statement per poll interval covers due jobs, lost notifications, dead workers and maintenance; an idle worker
//! asks nothing else. What becomes due before the next poll is waited for to the millisecond.

use super::Engine;
use crate::maintenance;
use jobs::queue::{listen::Signal, look::look};
use rand::RngExt;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until},
};

/// Looks this close together are one: a burst of retries must not become a burst of looks.
const CLOSEST: Duration = Duration::from_millis(20);
/// A look that takes long steps over what vacuum may not remove: no more than a tenth of the time may go into it.
const SHARE: u32 = 10;

pub(super) async fn run(engine: Arc<Engine>) {
    let mut signals = engine.listener.subscribe();
    let duties = maintenance::names();
    let queues: Vec<String> = engine
        .registry
        .queues()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            signal = signals.recv() => match signal {
                Ok(Signal::JobAvailable { queue }) => engine.wake(&queue),
                Ok(Signal::JobScheduled) => next = next.min(Instant::now() + CLOSEST),
                Ok(Signal::Resumed) | Err(RecvError::Lagged(_)) => next = Instant::now(),
                Ok(Signal::JobFinished { .. } | Signal::CancelRequested { .. } | Signal::SessionRevoked { .. }) => {}
                Err(RecvError::Closed) => return,
            },
            () = engine.rescheduled.notified() => next = next.min(Instant::now() + CLOSEST),
            () = sleep_until(next) => next = Instant::now() + look_around(&engine, &queues, &duties).await,
        }
    }
}

/// Looks once, sets in motion what there is to do, and returns when to look again.
async fn look_around(engine: &Engine, queues: &[String], duties: &[String]) -> Duration {
    // Often enough for a dead worker's jobs to be seen soon; jittered, or the polls of a fleet that was started together
    // stay together.
    let poll = engine.config.poll.min(engine.config.lease / 3);
    let poll = poll.mul_f64(rand::rng().random_range(0.9..1.1));
    let started = Instant::now();
    let seen = match look(&engine.queue_pool, queues, duties, poll).await {
        Ok(seen) => seen,
        Err(error) => {
            tracing::warn!(%error, "could not look at the queue; trying again");
            return poll;
        }
    };
    let rest = started.elapsed() * SHARE;
    engine.set_limited(seen.limited);
    for queue in &seen.promoted {
        engine.wake(queue);
        engine.notifier.job_available(queue);
    }
    for queue in &seen.claimable {
        engine.wake(queue);
    }
    if seen.expired {
        engine.expired.notify_one();
    }
    if seen.duty_due {
        engine.duty_due.notify_one();
    }
    if seen.more {
        return rest.max(CLOSEST);
    }
    let next = seen.next_due.map_or(poll, |due| due.clamp(CLOSEST, poll));
    next.max(rest)
}
