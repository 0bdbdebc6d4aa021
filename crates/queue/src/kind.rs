//! [`JobKind`]: what the queue knows about a kind of job.

use crate::RetryPolicy;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// A kind of job: its name, its queue, its arguments and output, its timeout and its retry policy.
pub trait JobKind: Send + Sync + 'static {
    /// The stable name that is stored with each job, `noun.verb`.
    const NAME: &'static str;
    /// The queue of its jobs.
    const QUEUE: &'static str;
    /// The longest time that one attempt may take.
    const TIMEOUT: Duration;

    type Args: Serialize + DeserializeOwned + Send + Sync;
    type Output: Serialize + DeserializeOwned + Send + Sync;

    /// Returns the backoff and the number of attempts.
    fn retry_policy() -> RetryPolicy;
}
