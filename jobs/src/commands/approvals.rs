//! Approvals: people decide them, workers execute them, a duty expires them; drafts and blocks are kept in step.

pub mod decide;
pub mod execute;
pub mod expire;
pub mod subject;
pub mod withdraw;

pub use decide::decide_approval;
pub use expire::expire_approvals;
pub use withdraw::withdraw_proposals;
