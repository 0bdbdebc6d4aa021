#![doc = include_str!("../README.md")]

pub mod claim;
pub mod coalesce;
pub mod enqueue;
mod finished;
mod interval;
pub mod job;
pub mod kind;
pub mod lease;
pub mod new_job;
pub mod operate;
pub mod outcome;
pub mod retry_policy;
pub mod run;
pub mod runtime;
pub mod schema;
pub mod settle;
pub mod signals;
mod tuple_id;
pub mod view;

pub use enqueue::{EnqueueError, Enqueued, Replaced};
pub use job::{Job, JobState, Lease};
pub use kind::JobKind;
pub use new_job::{Dedupe, DedupePolicy, ExternalId, NewJob};
pub use outcome::{Failure, FailureClass, Outcome};
pub use retry_policy::RetryPolicy;
pub use settle::{SettleError, Settled, settle, settle_succeeded};
pub use tuple_id::TupleId;
pub use view::{JobError, JobView};
