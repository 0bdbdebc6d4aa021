//! What an attempt ends in: one exhaustive decision from the handler's result to what is written.

use super::{Job, RetryPolicy};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Why an attempt failed, as far as the queue must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// May succeed later; counts as an attempt.
    Transient,
    /// A provider said when to come back; does not count.
    RateLimited { until: DateTime<Utc> },
    /// Will never succeed.
    Permanent,
    /// The worker is shutting down; does not count.
    Interrupted,
    /// Nobody wants the job any more.
    Cancelled,
}

/// A failed attempt, for two audiences.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Failure {
    pub class: FailureClass,
    /// Stable and machine-readable, `snake_case`.
    pub code: &'static str,
    /// For the user: what happened and what to do; no internals.
    pub message: String,
    /// For the operator's log: the cause chain. Never mail text, prompts or secrets.
    pub detail: String,
}

impl Failure {
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

    /// The job was cancelled while it ran.
    pub fn cancelled() -> Self {
        Self {
            class: FailureClass::Cancelled,
            code: super::run::cancel::CANCELLED,
            message: "The job was cancelled while it ran.".into(),
            detail: "cancellation was requested".into(),
        }
    }

    /// The attempt was given back because the worker is stopping.
    pub fn interrupted() -> Self {
        Self {
            class: FailureClass::Interrupted,
            code: "interrupted",
            message: "The worker was restarted; the job goes on by itself.".into(),
            detail: "shutdown grace period ended".into(),
        }
    }
}

/// What the settle statement writes for an attempt that did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Succeeded {
        output: serde_json::Value,
    },
    /// Counts as an attempt and waits `delay`.
    Retried {
        delay: Duration,
    },
    /// Does not count, waits until `until`.
    Snoozed {
        until: DateTime<Utc>,
    },
    /// Does not count; goes on when as many children as these have ended, which are enqueued with it.
    Waiting {
        children: i32,
    },
    /// Does not count, may be claimed at once.
    Interrupted,
    Discarded,
    Cancelled,
}

impl Outcome {
    /// The label value in metrics and the attempt's history.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded { .. } => "succeeded",
            Self::Retried { .. } => "retried",
            Self::Snoozed { .. } => "snoozed",
            Self::Waiting { .. } => "waiting",
            Self::Interrupted => "interrupted",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job is put back into line.
    pub const fn comes_back(&self) -> bool {
        match self {
            Self::Retried { .. }
            | Self::Snoozed { .. }
            | Self::Waiting { .. }
            | Self::Interrupted => true,
            Self::Succeeded { .. } | Self::Discarded | Self::Cancelled => false,
        }
    }

    /// `draw` is uniform in [0, 1): the jitter.
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
