//! Turns signals of other processes into claims, and looks for itself at everything that may need doing.
//!
//! One statement per poll interval covers due jobs, lost notifications, dead workers and maintenance; an idle worker
//! asks nothing else. What becomes due before the next poll is waited for to the millisecond.

use super::Engine;
use crate::{
    claim::{
        dead_tuples::{self, Survey},
        poll::{Look, Since, look, survey_leases},
    },
    signals::listener::Signal,
};
use base::db::is_cut_off;
use rand::RngExt;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until},
};

/// Looks this close together are one: a burst of retries must not become a burst of looks.
const CLOSEST: Duration = Duration::from_millis(20);
/// A commit may take this long, so that a lease is seen so long after it was given.
const LATE_COMMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(engine: Arc<Engine>) {
    let mut signals = engine.listener.subscribe();
    let duties: Vec<String> = engine
        .duties
        .iter()
        .map(|duty| duty.name().to_owned())
        .collect();
    let queues: Vec<String> = engine
        .registry
        .queues()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut watch = Watch::default();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            signal = signals.recv() => match signal {
                Ok(Signal::JobAvailable { queue }) => engine.wake(&queue),
                Ok(Signal::JobScheduled) => next = next.min(Instant::now() + CLOSEST),
                Ok(Signal::Resumed) | Err(RecvError::Lagged(_)) => next = Instant::now(),
                Ok(Signal::JobFinished { .. } | Signal::CancelRequested { .. } | Signal::Custom { .. }) => {}
                Err(RecvError::Closed) => return,
            },
            () = engine.rescheduled.notified() => next = next.min(Instant::now() + CLOSEST),
            () = sleep_until(next) => next = Instant::now() + look_around(&engine, &mut watch, &queues, &duties).await,
        }
    }
}

/// Which leases the next look is to look at: those of before have not expired, or were seen to.
struct Watch {
    since: Since,
    /// For leases that expired before that, when a look at all of them was cut off: the index is full of those of jobs that
    /// are gone, so the table is gone through once.
    survey: Option<Survey>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            since: Since::Ever,
            survey: None,
        }
    }
}

impl Watch {
    fn saw(&mut self, seen: &Look, lease: Duration) {
        let late = LATE_COMMIT
            .saturating_sub(lease)
            .max(Duration::from_secs(1));
        self.since = Since::At(seen.expired.unwrap_or(seen.at - late));
    }

    fn was_cut_off(&mut self, lease: Duration) {
        self.since = Since::Lately(lease * 2);
        self.survey = Some(Survey::default());
    }

    /// Makes the stride that is due, if one is, and says when the next is.
    async fn survey(&mut self, engine: &Engine) -> Option<Duration> {
        let survey = self.survey.as_mut()?;
        match survey_leases(&engine.queue_pool, survey).await {
            Ok(Some(first)) => {
                engine.expired.send_replace(Some(first));
            }
            Ok(None) if survey.rounds() > 0 => {
                self.survey = None;
                return None;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "could not survey the leases; trying again"),
        }
        Some(survey.put_off().max(CLOSEST))
    }
}

/// Looks once, sets in motion what there is to do, and returns when to look again.
async fn look_around(
    engine: &Engine,
    watch: &mut Watch,
    queues: &[String],
    duties: &[String],
) -> Duration {
    let lease = engine.config.lease;
    // Often enough for a dead worker's jobs to be seen soon; jittered, or the polls of a fleet that was started together
    // stay together.
    let poll = engine.config.poll.min(lease / 3);
    let poll = poll.mul_f64(rand::rng().random_range(0.9..1.1));
    let queues: Vec<String> = queues
        .iter()
        .filter(|queue| !engine.queue(queue).looks_itself.load(Ordering::Relaxed))
        .cloned()
        .collect();
    let survey = watch.survey(engine).await;
    let started = Instant::now();
    let seen = match look(&engine.queue_pool, &queues, duties, poll, watch.since).await {
        Ok(seen) => seen,
        Err(error) => {
            tracing::warn!(%error, "could not look at the queue; trying again");
            if is_cut_off(&error) {
                watch.was_cut_off(lease);
            }
            return poll;
        }
    };
    let took = started.elapsed();
    watch.saw(&seen, lease);
    engine.set_limited(seen.limited);
    for queue in &seen.promoted {
        engine.wake(queue);
        engine.notifier.job_available(queue);
    }
    for queue in &seen.claimable {
        engine.wake(queue);
    }
    if seen.expired.is_some() {
        engine.expired.send_replace(seen.expired);
    }
    if seen.duty_due {
        engine.duty_due.notify_one();
    }
    if seen.more {
        return CLOSEST;
    }
    let next = seen.next_due.map_or(poll, |due| due.clamp(CLOSEST, poll));
    // A look that takes long steps over what vacuum may not remove, and is had the more seldom.
    let next = if dead_tuples::is_cheap(took) {
        next
    } else {
        next.max(dead_tuples::rest(took))
    };
    survey.map_or(next, |survey| next.min(survey))
}
