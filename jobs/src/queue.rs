//! The engine: enqueue, claim, lease, settle, rescue. Holds the SQL of the queue's own tables and nothing of any job kind.
//!
//! Start with [`Job`] and [`settle`]. Knows nothing of tenants' data, HTTP or models; imports only ids, the words of the audit log and the clock.

pub mod attempts;
pub mod bulk;
pub mod cancel;
pub mod children;
pub mod claim;
pub mod dead_letters;
pub mod dedupe;
pub mod duties;
pub mod enqueue;
pub mod enqueuer;
pub mod events;
pub mod explain;
pub mod job;
pub mod kind;
pub mod lease;
pub mod limited;
pub mod limits;
pub mod list;
pub mod listen;
pub mod litter;
pub mod look;
pub mod notify;
pub mod onward;
pub mod outcome;
pub mod pause;
pub mod progress;
pub mod read;
pub mod rescue;
pub mod retention;
pub mod retry_policy;
pub mod settle;
pub mod stats;
pub mod workers;

pub use dedupe::{Dedupe, DedupePolicy};
pub use enqueue::{EnqueueError, Enqueued, ExternalId, NewJob};
pub use job::{Job, JobState, Lease};
pub use kind::JobKind;
pub use outcome::{Failure, FailureClass, Outcome};
pub use read::{JobError, JobView};
pub use retry_policy::RetryPolicy;
pub use settle::{SettleError, Settled, settle, settle_succeeded};
