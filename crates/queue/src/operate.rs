//! Operations: limits, pauses, the early end of a snooze, the worker list, retention, and the election for periodic duties.

pub mod duties;
pub mod limits;
pub mod pause;
pub mod release;
pub mod retention;
pub mod workers;
