//! Retries model calls: [`run`] repeats, [`decide`] says whether and when.
//!
//! Waits in this process only if the wait is short and one more attempt fits before the deadline. Otherwise returns the
//! error to the queue, which can wait without occupying a slot. Knows nothing of prompts, providers or metrics.

use crate::error::LlmError;
use backon::{BackoffBuilder, Retryable};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The shortest wait: a drawn zero would ask a failing provider again at once.
const FLOOR: Duration = Duration::from_millis(100);
/// The longest time that the waits of one call may take together: the job holds a slot meanwhile.
const MAX_HELD: Duration = Duration::from_secs(5);

/// How often and how long to retry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryConfig {
    /// Upper bound of the first wait; it doubles with each retry.
    pub base: Duration,
    /// Upper bound of every backoff wait.
    pub cap: Duration,
    /// Requests per call, including the first.
    pub max_tries: u32,
    /// Timeout of one request, from connecting to the last byte.
    pub attempt_timeout: Duration,
}

impl Default for RetryConfig {
    /// As the providers' own clients: waits of 0.5 s · 2^n up to 8 s, two retries. They allow a request 600 s; we allow 60 s,
    /// so that a retry fits into a job timeout of 180 s.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(8),
            max_tries: 3,
            attempt_timeout: Duration::from_secs(60),
        }
    }
}

/// What ends a call from outside: its deadline and its job.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    pub deadline: Instant,
    pub cancelled: &'a CancellationToken,
}

/// The decision after a failed attempt. `why` goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Retry { delay: Duration, why: &'static str },
    GiveUp { why: &'static str },
}

/// Full jitter: the n-th wait is uniform in [0, min(cap, base · 2^n)], and at least [`FLOOR`].
///
/// Not backon's `with_jitter`, which adds to the delay: callers that failed together would retry together.
#[derive(Clone, Copy)]
struct FullJitter {
    base: Duration,
    cap: Duration,
    waits: u32,
}

struct FullJitterWaits {
    backoff: FullJitter,
    done: u32,
}

impl BackoffBuilder for FullJitter {
    type Backoff = FullJitterWaits;

    fn build(self) -> FullJitterWaits {
        FullJitterWaits {
            backoff: self,
            done: 0,
        }
    }
}

impl Iterator for FullJitterWaits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.done == self.backoff.waits {
            return None;
        }
        let wait = self.backoff.wait(self.done, rand::random());
        self.done += 1;
        Some(wait)
    }
}

impl FullJitter {
    /// `draw` is uniform in [0, 1).
    fn wait(&self, n: u32, draw: f64) -> Duration {
        let longest = 2u32
            .checked_pow(n)
            .and_then(|factor| self.base.checked_mul(factor))
            .map_or(self.cap, |wait| wait.min(self.cap));
        longest.mul_f64(draw).max(FLOOR)
    }
}

/// Calls `attempt` until it succeeds, fails permanently, or the deadline or the number of attempts is reached.
///
/// Calls `report` with each failed attempt and the decision after it.
///
/// # Errors
/// The last attempt's failure; [`LlmError::Cancelled`] if the job was cancelled during a wait.
pub async fn run<T, F, Future>(
    config: &RetryConfig,
    limits: Limits<'_>,
    attempt: impl FnMut() -> Future,
    mut report: impl FnMut(&F, Verdict),
) -> Result<T, F>
where
    Future: std::future::Future<Output = Result<T, F>>,
    F: AsRef<LlmError> + From<LlmError>,
{
    let backoff = FullJitter {
        base: config.base,
        cap: config.cap,
        waits: config.max_tries.saturating_sub(1),
    };
    let mut held = Duration::ZERO;
    let tries = attempt.retry(backoff).adjust(|failed: &F, wait| {
        let left = Left {
            time: limits.deadline.saturating_duration_since(Instant::now()),
            waits: MAX_HELD.saturating_sub(held),
        };
        let verdict = decide(failed.as_ref(), wait, left, config.attempt_timeout);
        report(failed, verdict);
        match verdict {
            Verdict::Retry { delay, .. } => {
                held = held.saturating_add(delay);
                Some(delay)
            }
            Verdict::GiveUp { .. } => None,
        }
    });
    tokio::select! {
        // An attempt watches for cancellation itself and reports it; this arm covers the waits between attempts.
        biased;
        result = tries => result,
        () = limits.cancelled.cancelled() => Err(LlmError::Cancelled.into()),
    }
}

/// Runs one attempt until `attempt_timeout` or the deadline, whichever is earlier.
///
/// # Errors
/// The attempt's own failure, [`LlmError::Timeout`] or [`LlmError::Cancelled`].
pub async fn bounded<T>(
    config: &RetryConfig,
    limits: Limits<'_>,
    attempt: impl Future<Output = Result<T, LlmError>>,
) -> Result<T, LlmError> {
    let left = limits.deadline.saturating_duration_since(Instant::now());
    let timeout = config.attempt_timeout.min(left);
    if timeout.is_zero() {
        // Polling the attempt even once would open a connection.
        return Err(LlmError::Timeout { after: timeout });
    }
    tokio::select! {
        biased;
        () = limits.cancelled.cancelled() => Err(LlmError::Cancelled),
        result = tokio::time::timeout(timeout, attempt) => {
            result.unwrap_or(Err(LlmError::Timeout { after: timeout }))
        }
    }
}

/// What a call may still use.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// Until the deadline.
    pub time: Duration,
    /// For waits between requests.
    pub waits: Duration,
}

/// Decides whether to retry after a failure.
///
/// `wait` is the next backoff wait, none after the last attempt.
pub fn decide(
    error: &LlmError,
    wait: Option<Duration>,
    left: Left,
    attempt_timeout: Duration,
) -> Verdict {
    if !error.is_transient() {
        return Verdict::GiveUp {
            why: "a retry would fail too",
        };
    }
    // Each is an answer that may be paid for; the job decides whether to pay for another.
    if matches!(error, LlmError::InvalidReply { .. }) {
        return Verdict::GiveUp {
            why: "the answer may be billed",
        };
    }
    let Some(wait) = wait else {
        return Verdict::GiveUp {
            why: "no attempts are left",
        };
    };
    // Adds jitter to the requested delay: otherwise all clients of the provider would retry at the same moment.
    let (delay, why) = match error.retry_after() {
        Some(requested) => (
            requested.delay.saturating_add(wait),
            "requested by the provider",
        ),
        None => (wait, "backoff with full jitter"),
    };
    if delay > left.waits {
        return Verdict::GiveUp {
            why: "the wait is too long to hold a slot",
        };
    }
    if delay.saturating_add(attempt_timeout) > left.time {
        return Verdict::GiveUp {
            why: "wait and attempt do not fit before the deadline",
        };
    }
    Verdict::Retry { delay, why }
}

#[cfg(test)]
mod tests;
