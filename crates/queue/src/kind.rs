//! What the engine must know of a kind of job.

use super::RetryPolicy;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// A kind of job: what it carries in, what it gives back, and how its attempts are treated.
pub trait JobKind: Send + Sync + 'static {
    /// The stable name stored with each job, `noun.verb`.
    const NAME: &'static str;
    /// The queue its jobs wait in.
    const QUEUE: &'static str;
    /// The longest one attempt may take.
    const TIMEOUT: Duration;

    type Args: Serialize + DeserializeOwned + Send + Sync;
    type Output: Serialize + DeserializeOwned + Send + Sync;

    fn retry_policy() -> RetryPolicy;
}
