//! What operators see and change: limits, pauses, workers; and the duties that one worker does for all.

pub mod duties;
pub mod limits;
pub mod pause;
pub mod retention;
pub mod workers;
