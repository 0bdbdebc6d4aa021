//! Time for policies (backoff, working hours); expiry of stored things is compared with `now()` in SQL instead.

use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex};

/// Where the present comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    /// A clock that a test sets.
    Fixed(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self::Fixed(Arc::new(Mutex::new(at)))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that may read the system's clock"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now(),
            Self::Fixed(at) => *at.lock().expect("no holder of this lock can panic"),
        }
    }
}
