//! A durable job queue on Postgres: enqueue, claim, run, settle. Nothing of any job kind.
//!
//! Start with [`Job`], [`JobKind`] and [`runtime::handler::Handler`]. The vocabulary stands at the root; `enqueue`, `claim`, `run`
//! and `settle` follow a job's life; `view` reads, `signals` wakes, `operate` is for people; `runtime` is the worker side.

pub mod claim;
pub mod coalesce;
pub mod enqueue;
pub mod job;
pub mod kind;
pub mod lease;
pub mod operate;
pub mod outcome;
pub mod retry_policy;
pub mod run;
pub mod runtime;
pub mod settle;
pub mod signals;
pub mod view;

pub use enqueue::dedupe::{Dedupe, DedupePolicy};
pub use enqueue::{EnqueueError, Enqueued, ExternalId, NewJob};
pub use job::{Job, JobState, Lease};
pub use kind::JobKind;
pub use outcome::{Failure, FailureClass, Outcome};
pub use retry_policy::RetryPolicy;
pub use settle::{SettleError, Settled, settle, settle_succeeded};
pub use view::{JobError, JobView};
