//! [`Job`]: a claimed job, and the states of a job.

use crate::tuple_id::TupleId;
use base::{JobId, TenantId, WorkerId, str_enum};
use chrono::{DateTime, Utc};

str_enum! {
    /// The state of a job.
    JobState {
        /// May be claimed now.
        Available = "available",
        /// Waits for its `run_at` or for its child jobs.
        Scheduled = "scheduled",
        /// A worker holds it under a lease.
        Running = "running",
        /// Failed and waits for its next attempt.
        Retryable = "retryable",
        Succeeded = "succeeded",
        /// Failed for good: out of attempts, a permanent error, or it crashed its workers.
        Discarded = "discarded",
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// Whether the job is finished.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Discarded | Self::Cancelled)
    }
}

/// The right of a worker to run a job and to write its outcome. `attempt` and `worker` are the fence that guards every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The first column of the job's primary key.
    pub tenant: TenantId,
    pub job: JobId,
    /// Grows with every claim of the job, and never shrinks unless a standby is promoted that lacks the last claims.
    pub attempt: i32,
    /// A random id of the worker process.
    pub worker: WorkerId,
}

/// A claimed job.
#[derive(Clone, Debug)]
pub struct Job {
    pub lease: Lease,
    /// Where the claim left the job's row.
    pub place: TupleId,
    pub kind: String,
    pub queue: String,
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    pub args: serde_json::Value,
    /// The job that enqueued this one.
    pub parent: Option<JobId>,
    /// How many children the job has enqueued and waited for.
    pub children: i32,
    /// Failed attempts that count against `max_attempts`.
    pub errors: i32,
    /// Attempts whose worker died.
    pub crashes: i32,
    pub max_attempts: i32,
    pub run_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    /// The HTTP request that enqueued the job.
    pub request_id: Option<String>,
    /// The W3C trace context of that request.
    pub traceparent: Option<String>,
}

impl Job {
    /// Whether a failure of this attempt is the job's last. Crashes do not count.
    pub fn is_last_attempt(&self) -> bool {
        self.errors + 1 >= self.max_attempts
    }
}
