//! What work is and where it is kept: entities, job kinds, commands and the SQL of everything but the queue.
//!
//! Data flows one way: `commands` run one transaction each, over `store` (one file per table) and the crate `queue`;
//! `kinds` say what a job carries; `domain` holds data and invariants and does no IO.
//! Does *not* speak HTTP, call a model or touch the outside world.

pub mod commands;
pub mod domain;
pub mod kinds;
pub mod readiness;
pub mod schema;
pub mod secrets;
pub mod store;

pub use schema::MIGRATOR;
