//! The worker's program: the handlers of the job kinds, on top of the runtime of the `queue` crate.
//!
//! `handlers` has one job kind per file, `effects` one family of actions, `providers` one protocol; `watch` reads mailboxes. Only `providers` and the
//! `llm` crate open outbound connections. Serves no HTTP to users and contains no SQL.

pub mod config;
pub mod effects;
pub mod fixtures;
mod gauges;
pub mod handlers;
pub mod maintenance;
mod messages;
pub mod metrics;
pub mod ops;
pub mod prompts;
pub mod providers;
pub mod recording;
pub mod replay;
pub mod run;
pub mod shadow;
pub mod watch;
