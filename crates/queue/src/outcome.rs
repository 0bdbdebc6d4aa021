//! [`Outcome`]: how an attempt ends. One exhaustive match leads from the handler's result to what is written.

use crate::{Job, RetryPolicy};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// The class of a failure, which decides what happens to the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Another attempt may succeed. Counts as an attempt.
    Transient,
    /// A provider asked to come back later. Does not count as an attempt.
    RateLimited { until: DateTime<Utc> },
    /// The worker could not run the job for a reason that is not the job's: its database refused, or a newer version
    /// enqueued the job. Does not count as an attempt.
    Deferred,
    /// No attempt can succeed.
    Permanent,
    /// The worker is shutting down. Does not count as an attempt.
    Interrupted,
    /// The job was cancelled.
    Cancelled,
}

/// A failed attempt, described for the user and for the operator.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Failure {
    pub class: FailureClass,
    /// A stable, machine-readable code in `snake_case`.
    pub code: &'static str,
    /// Says to the user what happened and what to do, without internals.
    pub message: String,
    /// The cause chain for the operator's log. Never content of the job, never secrets.
    pub detail: String,
}

impl Failure {
    /// A failure after which another attempt may succeed.
    pub fn transient(
        code: &'static str,
        message: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            class: FailureClass::Transient,
            code,
            message: message.into(),
            detail: detail.into(),
        }
    }

    /// A failure that no further attempt can mend.
    pub fn permanent(
        code: &'static str,
        message: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            class: FailureClass::Permanent,
            code,
            message: message.into(),
            detail: detail.into(),
        }
    }

    /// A rate limit that ends at `until`; the attempt does not count.
    pub fn rate_limited(
        until: DateTime<Utc>,
        code: &'static str,
        message: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            class: FailureClass::RateLimited { until },
            code,
            message: message.into(),
            detail: detail.into(),
        }
    }

    /// A failure that says nothing about the job, which waits a moment; the attempt does not count.
    pub fn deferred(
        code: &'static str,
        message: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            class: FailureClass::Deferred,
            code,
            message: message.into(),
            detail: detail.into(),
        }
    }

    /// The failure of a job that was cancelled while it ran.
    pub fn cancelled() -> Self {
        Self {
            class: FailureClass::Cancelled,
            code: crate::run::cancel::CANCELLED,
            message: "The job was cancelled while it ran.".into(),
            detail: "cancellation was requested".into(),
        }
    }

    /// The failure of an attempt that ends because its worker is stopping.
    pub fn interrupted() -> Self {
        Self {
            class: FailureClass::Interrupted,
            code: "interrupted",
            message: "The worker was restarted. The job continues automatically.".into(),
            detail: "the shutdown grace period ended".into(),
        }
    }

    /// The failure of an attempt whose lease could not be renewed.
    pub fn interrupted_by_outage() -> Self {
        Self {
            class: FailureClass::Interrupted,
            code: "interrupted",
            message: "The database was not reachable for a while. The job continues automatically."
                .into(),
            detail: "the lease was not renewed in time".into(),
        }
    }
}

/// How long a deferred job waits: long enough for many workers not to spin, short enough for full speed soon after the reason
/// is gone. The number of attempts does not apply.
const DEFERRAL: RetryPolicy = RetryPolicy {
    max_attempts: i32::MAX,
    base: Duration::from_secs(1),
    cap: Duration::from_secs(8),
    floor: Duration::from_millis(500),
};

/// Counts the attempts of a job that counted neither as failed nor as crashed, from 1.
fn uncounted(job: &Job) -> i32 {
    (job.lease.attempt - job.errors - job.crashes).max(1)
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Succeeded {
        output: serde_json::Value,
    },
    /// Counts as an attempt; the job waits for `delay`.
    Retried {
        delay: Duration,
    },
    /// Does not count as an attempt; the job waits until `until`.
    Snoozed {
        until: DateTime<Utc>,
    },
    /// Does not count as an attempt; the job waits for `delay`.
    Deferred {
        delay: Duration,
    },
    /// Does not count as an attempt; the job resumes when the children that are enqueued with it have finished.
    Waiting {
        children: i32,
    },
    /// Does not count as an attempt; the job may be claimed at once.
    Interrupted,
    Discarded,
    Cancelled,
}

impl Outcome {
    /// The value in metric labels. Deferrals stand apart, because they are the database's fault.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Deferred { .. } => "deferred",
            _ => self.as_str(),
        }
    }

    /// The value in the attempt's history.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Retried { .. } => "retried",
            // In the history, both wait for something outside of the job.
            Self::Snoozed { .. } | Self::Deferred { .. } => "snoozed",
            Self::Waiting { .. } => "waiting",
            Self::Interrupted => "interrupted",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job waits or is available after this outcome.
    pub const fn returns_to_queue(&self) -> bool {
        match self {
            Self::Retried { .. }
            | Self::Snoozed { .. }
            | Self::Deferred { .. }
            | Self::Waiting { .. }
            | Self::Interrupted => true,
            Self::Succeeded { .. } | Self::Discarded | Self::Cancelled => false,
        }
    }

    /// Decides the outcome from the handler's result. `draw` is the jitter, uniform in [0, 1).
    pub fn from_attempt(
        result: Result<serde_json::Value, &Failure>,
        job: &Job,
        policy: &RetryPolicy,
        draw: f64,
    ) -> Self {
        match result {
            Ok(output) => Self::Succeeded { output },
            Err(failure) => match failure.class {
                FailureClass::Permanent => Self::Discarded,
                FailureClass::RateLimited { until } => Self::Snoozed { until },
                FailureClass::Deferred => Self::Deferred {
                    delay: DEFERRAL.delay(uncounted(job), draw),
                },
                FailureClass::Interrupted => Self::Interrupted,
                FailureClass::Cancelled => Self::Cancelled,
                FailureClass::Transient if job.is_last_attempt() => Self::Discarded,
                FailureClass::Transient => Self::Retried {
                    delay: policy.delay(job.errors + 1, draw),
                },
            },
        }
    }
}
