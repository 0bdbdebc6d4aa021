//! Drafts: revised, discarded, superseded.

pub mod discard;
pub mod revise;
pub mod supersede;

pub use supersede::supersede_drafts;
