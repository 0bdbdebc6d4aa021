//! How work gets done: claims jobs, runs their handlers, settles their outcomes.
//!
//! `backend` is the queue behind apalis; `executor` runs one attempt; `handlers` hold one kind of job each;
//! `llm` and `effects` are the only doors to the outside world. Never serves users' HTTP, holds no SQL.

pub mod config;
pub mod effects;
pub mod fixtures;
pub mod handlers;
pub mod maintenance;
pub mod metrics;
pub mod ops;
pub mod prompts;
pub mod providers;
pub mod run;
