//! Operations: limits, pauses, the early end of a snooze, the worker list, readiness, retention, and the election for
//! periodic duties.

pub mod clock;
pub mod duties;
pub mod limits;
pub mod pause;
pub mod readiness;
pub mod release;
pub mod retention;
pub mod workers;
