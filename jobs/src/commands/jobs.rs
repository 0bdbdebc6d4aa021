//! Jobs: submitted, read, cancelled, retried, audited.

pub mod cancel;
pub mod read;
pub mod recorder;
pub mod retry;
pub mod submit_action;
pub mod submit_draft;
pub mod submit_triage;

pub use cancel::cancel_job;
pub use recorder::AuditRecorder;
pub use submit_action::submit_action;
pub use submit_triage::Submitter;
