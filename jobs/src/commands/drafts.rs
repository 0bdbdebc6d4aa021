//! Drafts: revised, discarded, proposed again, superseded.

pub mod discard;
pub mod lock;
pub(crate) mod ownership;
pub mod propose;
pub mod revise;
pub mod supersede;

pub use supersede::supersede_drafts;
