//! Drafts: revised, discarded, superseded.

pub mod discard;
pub(crate) mod ownership;
pub mod revise;
pub mod supersede;

pub use supersede::supersede_drafts;
