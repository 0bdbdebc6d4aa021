//! Approvals: decided by a person, executed by a worker, expired by the clock; their subjects follow the decision.

pub mod decide;
pub mod execute;
pub mod expire;
pub mod subject;

pub use decide::decide_approval;
pub use expire::expire_approvals;
