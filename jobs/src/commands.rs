//! What can be asked of the system: one transaction each, over `store` and `queue`, with its audit entries.

pub mod rescue_jobs;

pub use rescue_jobs::rescue_jobs;
