//! A job as a worker holds it, and the states a job can be in.

use base::{JobId, TenantId, WorkerId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of a job.
// `ARCHITECTURE.md` has the diagram; a tidy test compares this enum with the tables' checks, the OpenAPI document and the
// dashboards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// May be claimed now.
    Available,
    /// Waits for its `run_at` or for its child jobs.
    Scheduled,
    /// A worker holds it under a lease.
    Running,
    /// Failed and waits for its next attempt.
    Retryable,
    Succeeded,
    /// Failed for good: out of attempts, a permanent error, or it crashed its workers.
    Discarded,
    Cancelled,
}

impl JobState {
    pub const ALL: [Self; 7] = [
        Self::Available,
        Self::Scheduled,
        Self::Running,
        Self::Retryable,
        Self::Succeeded,
        Self::Discarded,
        Self::Cancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Retryable => "retryable",
            Self::Succeeded => "succeeded",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == s)
    }

    /// Whether nothing will happen to the job any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Discarded | Self::Cancelled)
    }
}

/// The right to work on a job and to write its outcome: `attempt` is the fence that every write is guarded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Keys start with the tenant.
    pub tenant: TenantId,
    pub job: JobId,
    /// Grows with every claim of the job and is never given back.
    pub attempt: i32,
    pub worker: WorkerId,
}

/// A claimed job.
#[derive(Clone, Debug)]
pub struct Job {
    pub lease: Lease,
    pub tenant: TenantId,
    pub kind: String,
    pub queue: String,
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    pub args: serde_json::Value,
    /// The job that enqueued this one.
    pub parent: Option<JobId>,
    /// How many children it has enqueued and waited for.
    pub children: i32,
    /// Attempts that already counted against `max_attempts`.
    pub errors: i32,
    pub crashes: i32,
    pub max_attempts: i32,
    pub run_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    /// The HTTP request that asked for it.
    pub request_id: Option<String>,
    /// W3C trace context of that request.
    pub traceparent: Option<String>,
}

impl Job {
    /// Whether a failure of this attempt would be the job's last. Crashes are counted apart.
    pub fn is_last_attempt(&self) -> bool {
        self.errors + 1 >= self.max_attempts
    }
}
