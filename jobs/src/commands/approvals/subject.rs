//! What an approval is about: a draft or a block of the day that follows the decision.

pub(crate) mod block;
pub mod draft;
