//! The one place that repeats a model call. [`run`] repeats, [`decide`] says whether and when.
//!
//! Waits in this process only while the wait and one more attempt fit before the deadline; otherwise the error goes back to
//! the queue, which can wait without holding a slot. Knows nothing of prompts, providers or metrics.

use super::LlmError;
use backon::{BackoffBuilder, Retryable};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often and how long to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryConfig {
    /// The first wait is between nothing and this.
    pub base: Duration,
    /// No wait of our own choosing is longer.
    pub cap: Duration,
    /// Requests per call, the first one included.
    pub max_tries: u32,
    /// For one request, from connecting to the last byte.
    pub attempt_timeout: Duration,
}

impl Default for RetryConfig {
    /// The providers' own clients wait 0.5 s · 2^n up to 8 s and repeat twice. They give a request 600 s; ours ends well
    /// before the job's own 180 s, so that there is room for another.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(8),
            max_tries: 3,
            attempt_timeout: Duration::from_secs(60),
        }
    }
}

/// What ends a call from outside.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    pub deadline: Instant,
    pub cancelled: &'a CancellationToken,
}

/// What follows a failed attempt. The words are for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Retry { delay: Duration, why: &'static str },
    GiveUp { why: &'static str },
}

/// Full jitter: the n-th wait is uniform in [0, min(cap, base · 2^n)].
///
/// Not backon's `with_jitter`, which adds to the delay: callers that failed together would come back together.
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
        longest.mul_f64(draw)
    }
}

/// Calls `attempt` until it succeeds, fails for good, or time, tries or patience of the job run out. `report` hears of each
/// failed attempt and what follows from it.
///
/// # Errors
/// The last attempt's failure; [`LlmError::Cancelled`] if the job was given up during a wait.
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
    let tries = attempt.retry(backoff).adjust(|failed: &F, wait| {
        let left = limits.deadline.saturating_duration_since(Instant::now());
        let verdict = decide(failed.as_ref(), wait, left, config.attempt_timeout);
        report(failed, verdict);
        match verdict {
            Verdict::Retry { delay, .. } => Some(delay),
            Verdict::GiveUp { .. } => None,
        }
    });
    tokio::select! {
        // An attempt hears of the cancellation itself and reports it; this arm is for the waits between attempts.
        biased;
        result = tries => result,
        () = limits.cancelled.cancelled() => Err(LlmError::Cancelled.into()),
    }
}

/// Runs one attempt, for `attempt_timeout` at most and never past the deadline.
///
/// # Errors
/// The attempt's own, [`LlmError::Timeout`] or [`LlmError::Cancelled`].
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

/// `wait` is our own next wait, none once the tries are spent; `left` is the time until the deadline.
pub fn decide(
    error: &LlmError,
    wait: Option<Duration>,
    left: Duration,
    attempt_timeout: Duration,
) -> Verdict {
    if !error.is_transient() {
        return Verdict::GiveUp {
            why: "repeating would not help",
        };
    }
    let Some(wait) = wait else {
        return Verdict::GiveUp {
            why: "the tries are spent",
        };
    };
    // What the provider asks for is a minimum: with no jitter on top all its clients would come back at that moment.
    let (delay, why) = match error.retry_after() {
        Some(asked) => (asked.delay.saturating_add(wait), "the provider said when"),
        None => (wait, "backoff with full jitter"),
    };
    if delay.saturating_add(attempt_timeout) > left {
        return Verdict::GiveUp {
            why: "wait and attempt do not fit before the deadline",
        };
    }
    Verdict::Retry { delay, why }
}

#[cfg(test)]
mod tests;
