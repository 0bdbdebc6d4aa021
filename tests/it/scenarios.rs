//! What must hold from end to end, whatever is underneath.

mod injection;
mod overload;
