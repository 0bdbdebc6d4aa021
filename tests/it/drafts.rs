//! Drafts: versions are only ever added, the newest is marked, and nobody sees another tenant's.

mod accounts;
pub(crate) mod generated;
mod names;
mod original;
mod overtaken;
mod readers;
mod remembered;
pub(crate) mod seed;
mod store;
mod unfit;
