//! The wake loop: turns notifications into claims, and polls for everything that may need doing.
//!
//! One statement per poll interval finds due jobs, lost notifications, dead workers and duties that are due. The loop sleeps
//! until the next job is due, to the millisecond.

use crate::runtime::engine::Engine;
use crate::{
    claim::{
        dead_tuples::{self, TableScan},
        poll::{LeaseWindow, Poll, poll, scan_leases},
    },
    signals::listener::Signal,
};
use base::{clock, db::is_statement_timeout, telemetry::chain};
use chrono::{DateTime, Utc};
use rand::RngExt;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until},
};

/// The shortest time between two polls: a burst of retries must not become a burst of polls.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// A poll that took longer has probably waited for a connection: the database was away, although no statement failed.
const SLOW_POLL: Duration = Duration::from_secs(1);
/// Polls wait for connections for different times; a difference above this is a jump of the database's clock.
const LEAST_JUMP: Duration = Duration::from_secs(2);
/// The longest commit of a claim: a lease may become visible this long after it was given.
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
    let mut watch = LeaseWatch::default();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = engine.stopping.cancelled() => return,
            signal = signals.recv() => match signal {
                Ok(Signal::JobAvailable { queue }) => engine.wake(&queue),
                Ok(Signal::JobScheduled) => next = next.min(Instant::now() + MIN_INTERVAL),
                Ok(Signal::Resumed) | Err(RecvError::Lagged(_)) => next = Instant::now(),
                Ok(Signal::JobsFinished { .. } | Signal::CancelRequested { .. } | Signal::Custom { .. }) => {}
                Err(RecvError::Closed) => return,
            },
            () = engine.rescheduled.notified() => next = next.min(Instant::now() + MIN_INTERVAL),
            () = sleep_until(next) => next = Instant::now() + poll_once(&engine, &mut watch, &queues, &duties).await,
        }
    }
}

/// Which leases the next poll checks: earlier polls have checked the others.
struct LeaseWatch {
    window: LeaseWindow,
    /// Checks the leases before the window once, after a poll of all leases timed out on dead tuples in their index.
    scan: Option<TableScan>,
    /// The last poll's time by the database's clock and by this process's.
    polled: Option<(DateTime<Utc>, Instant)>,
}

impl Default for LeaseWatch {
    fn default() -> Self {
        Self {
            window: LeaseWindow::All,
            scan: None,
            polled: None,
        }
    }
}

impl LeaseWatch {
    /// Whether the database's clock was set forward since the last poll, so far that leases may have ended by it alone.
    fn clock_jumped(
        &mut self,
        polled_at: DateTime<Utc>,
        sent_at: Instant,
        lease: Duration,
    ) -> bool {
        let last = self.polled.replace((polled_at, sent_at));
        last.is_some_and(|(last_at, last_sent)| {
            let grown = (polled_at - last_at).to_std().unwrap_or_default();
            grown > sent_at.duration_since(last_sent) + (lease / 3).max(LEAST_JUMP)
        })
    }

    fn polled(&mut self, found: &Poll, lease: Duration) {
        let late = LATE_COMMIT
            .saturating_sub(lease)
            .max(Duration::from_secs(1));
        self.window = LeaseWindow::From(found.expired.unwrap_or(found.polled_at - late));
    }

    fn timed_out(&mut self, lease: Duration) {
        self.window = LeaseWindow::Last(lease * 2);
        self.scan = Some(TableScan::default());
    }

    /// Scans the block range that is due, if any is, and returns the time until the next one.
    async fn scan(&mut self, engine: &Engine) -> Option<Duration> {
        let scan = self.scan.as_mut()?;
        match scan_leases(&engine.queue_pool, scan).await {
            Ok(Some(first)) => {
                engine.expired.send_replace(Some(first));
            }
            Ok(None) if scan.rounds() > 0 => {
                self.scan = None;
                return None;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(
                error = chain(&error),
                "could not scan for expired leases; retrying"
            ),
        }
        Some(scan.due_in().max(MIN_INTERVAL))
    }
}

/// Polls, starts what there is to do, and returns the time until the next poll.
async fn poll_once(
    engine: &Engine,
    watch: &mut LeaseWatch,
    queues: &[String],
    duties: &[String],
) -> Duration {
    let lease = engine.config.lease;
    // Often enough to find a dead worker's jobs soon. Jittered, because the polls of workers that were started together
    // would stay together.
    let interval = engine.config.poll.min(lease / 3);
    let interval = interval.mul_f64(rand::rng().random_range(0.9..1.1));
    let queues: Vec<String> = queues
        .iter()
        .filter(|queue| !engine.queue(queue).rescans.load(Ordering::Relaxed))
        .cloned()
        .collect();
    let next_scan = watch.scan(engine).await;
    let started = Instant::now();
    let found = match poll(&engine.queue_pool, &queues, duties, interval, watch.window).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not poll the queue; retrying");
            engine.database.polled(Err(&error));
            if is_statement_timeout(&error) {
                watch.timed_out(lease);
            } else {
                // Nobody knows whether jobs wait. The claims that fail for the same reason are counted, and those that do
                // not fail are worth having.
                for queue in &queues {
                    engine.wake(queue);
                }
            }
            return interval;
        }
    };
    engine.database.polled(Ok(()));
    let took = started.elapsed();
    if took > SLOW_POLL {
        engine.database.was_away();
    } else if let Some(ahead) = clock::follow(found.polled_at) {
        tracing::warn!(
            ahead_seconds = ahead.num_seconds(),
            "the database's clock differs from this machine's; this worker goes by the database's"
        );
    }
    if watch.clock_jumped(found.polled_at, started, lease) {
        tracing::warn!(
            "the database's clock was set forward; leases are renewed before any is taken for expired"
        );
        engine.database.was_away();
        engine.clock_jumped.notify_one();
    }
    watch.polled(&found, lease);
    engine.set_limited(found.limited);
    for queue in &found.promoted {
        engine.wake(queue);
        engine.notifier.job_available(queue);
    }
    for queue in &found.claimable {
        engine.wake(queue);
    }
    if found.expired.is_some() {
        engine.expired.send_replace(found.expired);
    }
    if found.duty_due {
        engine.duty_due.notify_one();
    }
    if found.is_full {
        return MIN_INTERVAL;
    }
    let next = found
        .next_due
        .map_or(interval, |due| due.clamp(MIN_INTERVAL, interval));
    // A slow poll steps over dead tuples, and runs less often.
    let next = if dead_tuples::is_cheap(took) {
        next
    } else {
        next.max(dead_tuples::rest(took))
    };
    next_scan.map_or(next, |scan| next.min(scan))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_that_was_set_forward_is_no_time_that_passed() {
        let lease = Duration::from_secs(30);
        let (start, sent) = (DateTime::<Utc>::UNIX_EPOCH, Instant::now());
        let mut watch = LeaseWatch::default();
        let mut jumped = |database: u64, process: u64| {
            let at = start + Duration::from_secs(database);
            watch.clock_jumped(at, sent + Duration::from_secs(process), lease)
        };
        assert!(!jumped(0, 0));
        assert!(!jumped(100, 100), "an outage");
        assert!(!jumped(105, 101), "a poll that waited");
        assert!(jumped(205, 102));
        assert!(!jumped(206, 103));
        assert!(!jumped(6, 104), "set back");
        assert!(!jumped(7, 105));
    }
}
