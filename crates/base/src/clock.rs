//! [`Clock`]: the time for policies such as working hours. Expiry and backoff of stored rows are computed with `now()` in SQL.
//!
//! A moment that a process computes and stores, as "in five seconds, as the provider asks", is compared with the database's
//! time later. So the clock of a process [follows](follow) the database's where its own machine's is wrong.

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};

/// Machines that keep their time differ by less.
const TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// How far the database's clock is ahead of this machine's.
static AHEAD: Ahead = Ahead(AtomicI64::new(0));

/// A source of the current time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock, or the database's if the machine's is wrong.
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
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => machine() + AHEAD.get(),
            Self::Fixed(at) => *at.lock().expect("no holder of this lock can panic"),
        }
    }
}

/// Lets [`Clock::System`] follow the database's clock, which shows `database` now, if the two differ by seconds. Returns how
/// far the database is ahead if that changed.
pub fn follow(database: DateTime<Utc>) -> Option<TimeDelta> {
    AHEAD.update(database - machine())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only place that reads the system clock"
)]
fn machine() -> DateTime<Utc> {
    Utc::now()
}

/// A difference of clocks, in milliseconds.
struct Ahead(AtomicI64);

impl Ahead {
    fn get(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.0.load(Ordering::Relaxed))
    }

    fn update(&self, seen: TimeDelta) -> Option<TimeDelta> {
        let ahead = if seen.abs() < TOLERANCE {
            TimeDelta::zero()
        } else {
            seen
        };
        if (ahead - self.get()).abs() < TOLERANCE {
            return None;
        }
        self.0.store(ahead.num_milliseconds(), Ordering::Relaxed);
        Some(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_of_seconds_is_followed_and_a_smaller_one_is_not() {
        let ahead = Ahead(AtomicI64::new(0));
        let hour = TimeDelta::hours(1);
        let second = TimeDelta::seconds(1);
        assert_eq!(ahead.update(second), None);
        assert_eq!(ahead.update(-hour), Some(-hour));
        assert_eq!(ahead.update(second - hour), None);
        assert_eq!(ahead.get(), -hour);
        assert_eq!(ahead.update(-second), Some(TimeDelta::zero()));
        assert_eq!(ahead.get(), TimeDelta::zero());
    }
}
