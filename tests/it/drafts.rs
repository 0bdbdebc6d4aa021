//! Drafts: versions are only ever added, the newest is told from the others, and nobody sees another tenant's.

mod accounts;
mod overtaken;
mod remembered;
pub(crate) mod seed;
mod store;
pub(crate) mod written;
