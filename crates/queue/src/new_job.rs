//! [`NewJob`]: a job that is to be enqueued, and the two names that keep it from being done twice.

use crate::JobKind;
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};

/// A job to enqueue.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub id: JobId,
    pub tenant: TenantId,
    pub kind: &'static str,
    pub queue: &'static str,
    pub args: serde_json::Value,
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    /// The earliest start; `None` is now.
    pub run_at: Option<DateTime<Utc>>,
    pub max_attempts: i32,
    /// Makes the enqueue idempotent: one (tenant, kind, external id) is one job.
    pub external: Option<ExternalId>,
    /// Limits the backlog: of the jobs with one (tenant, kind, key) at most one waits.
    pub dedupe: Option<Dedupe>,
    /// The job that enqueues this one.
    pub parent: Option<JobId>,
    /// The HTTP request that enqueues the job.
    pub request_id: Option<String>,
    /// The id that the client gave that request.
    pub client_request_id: Option<String>,
    /// The W3C trace context of that request.
    pub traceparent: Option<String>,
}

/// The caller's name for a piece of work, with a fingerprint of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalId {
    /// 1 to 255 characters.
    pub id: String,
    /// The same id with another fingerprint is a conflict.
    pub fingerprint: [u8; 32],
}

/// The key under which at most one job waits. A running job does not count: what it reads may be out of date already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    /// 1 to 255 characters.
    pub key: String,
    pub policy: DedupePolicy,
}

/// What an enqueue does when a job with the same dedupe key waits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupePolicy {
    /// Keeps the waiting job and does not insert the new one.
    KeepWaiting,
    /// Inserts the new job and cancels the waiting one.
    Replace {
        /// Also requests the cancellation of running jobs with the key.
        cancel_running: bool,
    },
}

impl NewJob {
    /// Returns a job of kind `K` that may start at once, with the kind's defaults.
    ///
    /// # Errors
    /// If the arguments cannot be written as JSON.
    pub fn of<K: JobKind>(tenant: TenantId, args: &K::Args) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: JobId::new(),
            tenant,
            kind: K::NAME,
            queue: K::QUEUE,
            args: serde_json::to_value(args)?,
            priority: 3,
            run_at: None,
            max_attempts: K::retry_policy().max_attempts,
            external: None,
            dedupe: None,
            parent: None,
            request_id: None,
            client_request_id: None,
            traceparent: None,
        })
    }
}
