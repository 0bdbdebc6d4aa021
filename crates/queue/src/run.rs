//! Running jobs: cancellation, children, progress.

pub mod cancel;
pub mod children;
pub mod progress;
