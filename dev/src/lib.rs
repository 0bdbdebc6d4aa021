//! How a person tries Postroom: `cargo dev up | triage | test | psql | session`.
//!
//! Finds or fetches Postgres ([`postgres`]), runs the two real binaries and talks to them over HTTP as any client would.
//! Everything that makes a developer's life easy lives here and nowhere else: nothing links this crate but the tests.

pub mod config;
pub mod places;
pub mod postgres;
pub mod run;
pub mod signals;
pub mod supervised;
pub mod test;
