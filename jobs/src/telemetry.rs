//! Tracing set-up and the names of fields.
