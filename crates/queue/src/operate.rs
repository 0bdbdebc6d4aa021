//! Operations: limits, pauses, the worker list, retention, and the election for periodic duties.

pub mod duties;
pub mod limits;
pub mod pause;
pub mod retention;
pub mod workers;
