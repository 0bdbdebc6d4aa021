//! Operations: limits, pauses, the worker list, readiness, retention, and the election for periodic duties.

pub mod duties;
pub mod limits;
pub mod pause;
pub mod readiness;
pub mod retention;
pub mod workers;
