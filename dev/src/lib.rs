//! The developer's command line: `cargo dev up | triage | test | bench | chaos | docs | eval | replay | lint | psql | session |
//! schema`.
//!
//! Finds or fetches Postgres ([`postgres`]) and the peers of the tests ([`peers`]), runs the two real binaries ([`stack`]) and
//! calls them over HTTP like any client ([`client`]). All development helpers are here: only the tests link this crate.

pub mod approvals;
pub mod bench;
pub mod cargo;
pub mod chaos;
pub mod client;
pub mod config;
pub mod database;
pub mod docs;
pub mod eval;
pub mod fetch;
pub mod lint;
pub mod mailbox;
pub mod peers;
pub mod places;
pub mod postgres;
pub mod replay;
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
