//! What every part stands on: identifiers, the clock, the environment, the database pool, logging.
//!
//! Start with [`db::connect`] and [`env::Env`]. Knows nothing of queues, email or HTTP.

pub mod clock;
pub mod db;
pub mod env;
pub mod ids;
pub mod metrics;
pub mod telemetry;

pub use ids::{JobId, TenantId, WorkerId};

/// For [`metrics!`], so that a crate needs no dependency of its own to declare metrics.
#[doc(hidden)]
pub use prometheus;
