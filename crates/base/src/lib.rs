#![doc = include_str!("../README.md")]

pub mod clock;
pub mod db;
pub mod env;
pub mod ids;
pub mod metrics;
pub mod telemetry;

pub use ids::{JobId, TenantId, WorkerId};
