//! [`Clock`]: the time for policies such as working hours. Expiry and backoff of stored rows are computed with `now()` in SQL.

use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex};

/// A source of the current time.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    /// A clock that a test sets.
    Fixed(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// Returns a clock that stands at `at`.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self::Fixed(Arc::new(Mutex::new(at)))
    }

    /// Returns the current time.
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place that reads the system clock"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now(),
            Self::Fixed(at) => *at.lock().expect("no holder of this lock can panic"),
        }
    }
}
