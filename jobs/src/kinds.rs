//! The kinds of job: what each carries, gives back, and how it is retried. One file per kind; [`ALL`] is the table of them.
//! No IO.

pub mod action;
pub mod backfill;
pub mod connection_test;
pub mod draft;
mod spec;
mod submitter;
pub mod triage;
pub mod triage_batch;
pub mod triage_shadow;
pub mod webhook_delivery;

pub use spec::{ALL, JobOutput, KindSpec, names, queues};
pub use submitter::api_key_of;

use queue::RetryPolicy;
use std::time::Duration;

/// How jobs that ask a model are retried.
const MODEL_RETRIES: RetryPolicy = RetryPolicy {
    max_attempts: 5,
    base: Duration::from_secs(2),
    cap: Duration::from_secs(600),
    floor: Duration::from_millis(200),
};
