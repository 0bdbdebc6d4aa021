//! Durations as Postgres takes them.

use sqlx::postgres::types::PgInterval;
use std::time::Duration;

/// Converts a duration; Postgres counts microseconds.
pub(crate) fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval {
        months: 0,
        days: 0,
        microseconds,
    }
}
