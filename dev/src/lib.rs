//! How a person tries Postroom: `cargo dev up | triage | test | bench | chaos | docs | lint | psql | session | schema`.
//!
//! Finds or fetches Postgres ([`postgres`]) and what the tests speak with ([`peers`]), runs the two real binaries ([`stack`]) and talks to them over HTTP as any
//! client would ([`client`]). Everything that makes a developer's life easy lives here and nowhere else: nothing links
//! this crate but the tests.

pub mod approvals;
pub mod bench;
pub mod cargo;
pub mod chaos;
pub mod client;
pub mod config;
pub mod database;
pub mod docs;
pub mod fetch;
pub mod lint;
pub mod mailbox;
pub mod peers;
pub mod places;
pub mod postgres;
pub mod run;
pub mod say;
pub mod schema;
pub mod session;
pub mod signals;
pub mod smtp_sink;
pub mod stack;
pub mod state;
pub mod submission;
pub mod supervised;
pub mod table;
pub mod test;
pub mod triage;
pub mod up;
