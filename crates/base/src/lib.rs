//! What every part stands on: identifiers, the clock, the environment, the database pool, logging.
//!
//! Start with [`db::connect`] and [`env::Env`]. Knows nothing of queues, email or HTTP.

pub mod clock;
pub mod db;
pub mod env;
pub mod ids;
pub mod metrics;
pub mod str_enum;
pub mod telemetry;

pub use ids::{JobId, TenantId, WorkerId};
