//! When a call is retried, after which wait, and when it fails.

use super::*;
use crate::error::RetryAfter;
use chrono::DateTime;
use std::sync::atomic::{AtomicU32, Ordering};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn config() -> RetryConfig {
    RetryConfig {
        base: SECOND,
        cap: 8 * SECOND,
        max_tries: 5,
        attempt_timeout: 10 * SECOND,
    }
}

fn transient() -> LlmError {
    LlmError::Transient {
        status: 500,
        retry_after: None,
    }
}

fn limited(delay: Duration) -> LlmError {
    LlmError::RateLimited {
        retry_after: Some(RetryAfter {
            delay,
            at: DateTime::UNIX_EPOCH,
        }),
    }
}

/// Enough for every wait, and this long until the deadline.
fn left(time: Duration) -> Left {
    Left {
        time,
        waits: MAX_HELD,
    }
}

/// The simplest error that [`run`] accepts.
#[derive(Debug)]
struct Failed(LlmError);

impl AsRef<LlmError> for Failed {
    fn as_ref(&self) -> &LlmError {
        &self.0
    }
}

impl From<LlmError> for Failed {
    fn from(error: LlmError) -> Self {
        Self(error)
    }
}

#[test]
fn backoff_waits_are_uniform_below_a_doubling_bound() {
    let jitter = FullJitter {
        base: SECOND,
        cap: 8 * SECOND,
        waits: 6,
    };
    for (n, longest) in [
        (0, 1),
        (1, 2),
        (2, 4),
        (3, 8),
        (4, 8),
        (31, 8),
        (32, 8),
        (u32::MAX, 8),
    ] {
        assert_eq!(jitter.wait(n, 0.0), FLOOR);
        assert_eq!(jitter.wait(n, 0.5), longest * SECOND / 2, "wait {n}");
        assert!(jitter.wait(n, 0.999_999) < longest * SECOND);
    }
    let waits: Vec<_> = jitter.build().collect();
    assert_eq!(waits.len(), 6);
}

#[test]
fn requested_delay_is_the_minimum_and_jitter_is_added() {
    let verdict = decide(
        &limited(3 * SECOND),
        Some(SECOND / 2),
        left(60 * SECOND),
        10 * SECOND,
    );
    let Verdict::Retry { delay, .. } = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(delay, Duration::from_millis(3_500));
}

#[test]
fn retry_must_fit_before_the_deadline_with_its_whole_attempt() {
    let fits = |time| {
        let verdict = decide(&transient(), Some(SECOND), left(time), 10 * SECOND);
        matches!(verdict, Verdict::Retry { .. })
    };
    assert!(fits(11 * SECOND));
    assert!(!fits(11 * SECOND - Duration::from_nanos(1)));
    assert!(!fits(Duration::ZERO));
    let endless = decide(
        &limited(Duration::MAX),
        Some(SECOND),
        left(Duration::MAX),
        SECOND,
    );
    assert!(matches!(endless, Verdict::GiveUp { .. }));
}

#[test]
fn slot_is_not_held_for_a_wait_of_more_than_five_seconds() {
    let held = |requested, waits| {
        let left = Left {
            time: 600 * SECOND,
            waits,
        };
        let verdict = decide(&limited(requested), Some(SECOND / 2), left, SECOND);
        matches!(verdict, Verdict::Retry { .. })
    };
    assert!(held(4 * SECOND, MAX_HELD));
    assert!(!held(5 * SECOND, MAX_HELD));
    assert!(!held(4 * SECOND, MAX_HELD - SECOND));
}

#[test]
fn permanent_failure_is_not_retried_and_tries_are_limited() {
    for (error, wait) in [
        (LlmError::Auth { status: 401 }, Some(SECOND)),
        (LlmError::Cancelled, Some(SECOND)),
        (LlmError::InvalidReply { what: "no choices" }, Some(SECOND)),
        (transient(), None),
    ] {
        let verdict = decide(&error, wait, left(600 * SECOND), SECOND);
        assert!(matches!(verdict, Verdict::GiveUp { .. }), "{error}");
    }
}

#[tokio::test]
async fn retries_stay_within_their_bounds_and_return_the_last_error() {
    let config = RetryConfig {
        base: MILLI,
        cap: 8 * MILLI,
        ..config()
    };
    let started = Instant::now();
    let mut delays = Vec::new();
    let tries = AtomicU32::new(0);
    let limits = Limits {
        deadline: started + 600 * SECOND,
        cancelled: &CancellationToken::new(),
    };
    let result: Result<(), Failed> = run(
        &config,
        limits,
        || async {
            tries.fetch_add(1, Ordering::Relaxed);
            Err(Failed(transient()))
        },
        |_, verdict| delays.push(verdict),
    )
    .await;
    assert!(matches!(result, Err(Failed(LlmError::Transient { .. }))));
    assert_eq!(tries.into_inner(), 5);
    let chosen: Vec<_> = delays
        .iter()
        .map(|verdict| match verdict {
            Verdict::Retry { delay, .. } => Some(*delay),
            Verdict::GiveUp { .. } => None,
        })
        .collect();
    let [Some(first), Some(second), Some(third), Some(fourth), None] = chosen[..] else {
        panic!("{delays:?}");
    };
    // Every bound is below the floor.
    assert_eq!([first, second, third, fourth], [FLOOR; 4]);
}

#[tokio::test]
async fn attempt_ends_at_its_timeout_or_at_the_deadline() {
    let cancelled = CancellationToken::new();
    let config = RetryConfig {
        attempt_timeout: 40 * MILLI,
        ..config()
    };
    for (left, expected) in [(30 * SECOND, 40 * MILLI), (10 * MILLI, 10 * MILLI)] {
        let started = Instant::now();
        let limits = Limits {
            deadline: started + left,
            cancelled: &cancelled,
        };
        let error = bounded::<()>(&config, limits, std::future::pending())
            .await
            .unwrap_err();
        let LlmError::Timeout { after } = error else {
            panic!("{error}");
        };
        // A little of the time has passed before the timeout is computed.
        assert!(
            after <= expected && expected - after < 5 * MILLI,
            "{after:?}"
        );
        assert!(started.elapsed() >= after && started.elapsed() < 10 * SECOND);
    }
}

#[tokio::test]
async fn cancelled_job_stops_waiting_immediately() {
    let cancelled = CancellationToken::new();
    let limits = Limits {
        deadline: Instant::now() + 600 * SECOND,
        cancelled: &cancelled,
    };
    let started = Instant::now();
    let result: Result<(), Failed> = run(
        &config(),
        limits,
        || async { Err(Failed(limited(4 * SECOND))) },
        |_, _| cancelled.cancel(),
    )
    .await;
    assert!(matches!(result, Err(Failed(LlmError::Cancelled))));
    assert!(started.elapsed() < 4 * SECOND);
}

#[tokio::test]
async fn cancelled_job_stops_its_attempt_immediately() {
    let cancelled = CancellationToken::new();
    let limits = Limits {
        deadline: Instant::now() + 600 * SECOND,
        cancelled: &cancelled,
    };
    let config = config();
    let attempt = bounded::<()>(&config, limits, std::future::pending());
    let (result, ()) = tokio::join!(attempt, async { cancelled.cancel() });
    assert!(matches!(result, Err(LlmError::Cancelled)));
}
