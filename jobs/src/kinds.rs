//! The kinds of job: what each carries, gives back, and how it is retried. One file per kind; [`ALL`] is the table of them.
//! No IO.

pub mod action;
pub mod backfill;
pub mod connection_test;
pub mod draft;
mod spec;
mod submitter;
pub mod triage;
pub mod triage_batch;
pub mod triage_shadow;
pub mod webhook_delivery;

pub use spec::{ALL, JobOutput, KindSpec, names, queues};
pub use submitter::api_key_of;
