//! What may happen to a job while it runs: a cancel request, children, progress.

pub mod cancel;
pub mod children;
pub mod progress;
