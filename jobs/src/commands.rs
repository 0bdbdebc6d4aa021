//! What can be asked of the system: one transaction each, over `store` and `queue`, with its audit entries.

pub mod accept_invite;
pub mod authenticate;
pub mod bootstrap;
pub mod cancel_job;
pub mod decide_approval;
pub mod effect_ledger;
pub mod end_session;
pub mod expire_approvals;
pub mod fleet;
pub mod grant;
pub mod hashing;
pub mod invite;
pub mod log_in;
pub mod open_session;
pub mod put_rules;
pub mod record_denial;
pub mod requeue;
pub mod rescue_jobs;
pub mod rotate_session;
pub mod submit_triage;

pub use accept_invite::accept_invite;
pub use authenticate::authenticate;
pub use bootstrap::bootstrap;
pub use cancel_job::cancel_job;
pub use decide_approval::decide_approval;
pub use expire_approvals::expire_approvals;
pub use grant::grant;
pub use invite::invite;
pub use log_in::log_in;
pub use open_session::open_session;
pub use put_rules::put_rules;
pub use record_denial::record_denial;
pub use rescue_jobs::rescue_jobs;
pub use rotate_session::rotate_session;
pub use submit_triage::Submitter;
