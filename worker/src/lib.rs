//! How work gets done: claims jobs, runs their handlers, settles their outcomes.
//!
//! `backend` is the queue behind apalis; `executor` runs one attempt; `handlers` hold one kind of job each;
//! `llm` and `effects` are the only doors to the outside world. Never serves users' HTTP, holds no SQL.

pub mod backend;
pub mod config;
pub mod effects;
pub mod engine;
pub mod executor;
pub mod handler;
pub mod handlers;
pub mod llm;
pub mod maintenance;
pub mod metrics;
pub mod ops;
pub mod progress;
pub mod providers;
pub mod run;
pub mod settle;
pub mod settle_batch;
