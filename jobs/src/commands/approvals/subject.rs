//! The subjects of approvals, drafts and blocks, kept in step with the decision.

pub(crate) mod block;
pub mod draft;
