//! The worker side: claims jobs, runs their handlers, settles their outcomes. [`backend`] alone names apalis.

mod attempt;
pub mod backend;
pub mod config;
pub mod database_state;
pub mod duty;
pub mod engine;
pub mod executor;
pub mod handler;
pub mod leases;
mod loops;
pub mod metrics;
pub mod periodic;
pub mod recorder;
pub mod reporter;
pub mod settle_attempt;
pub mod settle_batch;
pub mod storing;
pub mod worker;

pub use config::RuntimeConfig;
pub use handler::{Handler, JobContext, Registry, Settlement};
pub use periodic::PeriodicJob;
pub use worker::{Setup, Worker};
