#![doc = include_str!("../README.md")]

pub mod clock;
pub mod db;
pub mod descriptors;
pub mod env;
pub mod hex;
pub mod ids;
pub mod metrics;
pub mod signals;
pub mod str_enum;
pub mod telemetry;

pub use hex::hex;
pub use ids::{JobId, TenantId, WorkerId};

/// For [`metrics!`], so that a crate needs no dependency of its own to declare metrics.
#[doc(hidden)]
pub use prometheus;
