//! How often a model is asked: [`Rate`] is what the operator allows per minute, [`Buckets`] how much of it is left, and
//! [`assign_turns`] says when waiting jobs may ask. Pure.
//!
//! A bucket is stored as the time at which it will be full again. A request moves that time by the time in which the rate
//! earns the request, and may be sent if the bucket is not overdrawn by it.

use chrono::{DateTime, TimeDelta, Utc};

/// A bucket holds this part of a minute's rate, so that no minute has more than 1.05 times the rate: the rest up to 1.1 is
/// for requests that reach the provider earlier or later than they were admitted.
const BUCKET_PART: i64 = 20;
const MINUTE_MICROS: i64 = 60_000_000;
/// Bounds of the wait of a job to which no turn is assigned.
const SHORTEST_WAIT: TimeDelta = TimeDelta::seconds(30);
const LONGEST_WAIT: TimeDelta = TimeDelta::days(1);

/// What the operator allows per minute for one model; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    pub requests: Option<u32>,
    pub tokens: Option<u32>,
}

impl Rate {
    pub const fn is_unlimited(self) -> bool {
        self.requests.is_none() && self.tokens.is_none()
    }

    /// Returns the time in which both rates earn a request.
    pub fn spacing(self, tokens: i64) -> TimeDelta {
        Share::of(1, self.requests)
            .earned_in
            .max(Share::of(tokens, self.tokens).earned_in)
    }

    /// Returns when a job tries again without a turn, if this many wait with it: later than its turn comes.
    pub fn longest_wait(self, tokens: i64, waiting: i32) -> TimeDelta {
        let waits = self.spacing(tokens).checked_mul(waiting.max(1));
        let twice = waits.and_then(|waits| waits.checked_mul(2));
        twice
            .unwrap_or(LONGEST_WAIT)
            .min(LONGEST_WAIT)
            .max(SHORTEST_WAIT)
    }
}

/// What a request takes of a bucket, as times.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// The time in which the rate earns the request.
    earned_in: TimeDelta,
    /// The time in which an empty bucket fills.
    filled_in: TimeDelta,
}

impl Share {
    fn of(units: i64, per_minute: Option<u32>) -> Self {
        let time = |units: i64| {
            let rate = per_minute.map_or(i64::MAX, |rate| i64::from(rate.max(1)));
            // Rounded up, so that the sum of many is no more than the rate.
            let micros = units.max(0).saturating_mul(MINUTE_MICROS) / rate;
            TimeDelta::microseconds(micros + i64::from(per_minute.is_some()))
        };
        let bucket = per_minute.map_or(0, bucket_of);
        Self {
            earned_in: time(units),
            filled_in: time(bucket),
        }
    }

    /// Returns the earliest time from `now` at which the bucket holds the request. One that never fits needs a full bucket.
    fn fits_at(self, full_at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let spare = (self.filled_in - self.earned_in).max(TimeDelta::zero());
        now.max(full_at - spare)
    }
}

/// The buckets of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    pub requests_full_at: DateTime<Utc>,
    pub tokens_full_at: DateTime<Utc>,
}

impl Buckets {
    /// Returns the earliest time from `now` at which a request may be sent.
    pub fn fits_at(self, rate: Rate, tokens: i64, now: DateTime<Utc>) -> DateTime<Utc> {
        let requests = Share::of(1, rate.requests).fits_at(self.requests_full_at, now);
        let tokens = Share::of(tokens, rate.tokens).fits_at(self.tokens_full_at, now);
        requests.max(tokens)
    }

    /// Returns the buckets after a request at `at`.
    pub fn after(self, rate: Rate, tokens: i64, at: DateTime<Utc>) -> Self {
        Self {
            requests_full_at: self.requests_full_at.max(at) + Share::of(1, rate.requests).earned_in,
            tokens_full_at: self.tokens_full_at.max(at) + Share::of(tokens, rate.tokens).earned_in,
        }
    }
}

/// What a provider says is left of one of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub units: i64,
    /// The time in which the provider renews one unit.
    pub unit_renewed_in: TimeDelta,
}

/// What a provider says is left of its limits; none if it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsLeft {
    pub requests: Option<Left>,
    pub tokens: Option<Left>,
}

impl LimitsLeft {
    /// Returns whether a full bucket would hold more than the provider has left.
    pub fn lowers(self, rate: Rate) -> bool {
        let is_less = |left: Option<Left>, per_minute: Option<u32>| {
            left.is_some_and(|left| per_minute.is_some_and(|rate| left.units < bucket_of(rate)))
        };
        is_less(self.requests, rate.requests) || is_less(self.tokens, rate.tokens)
    }
}

impl Left {
    /// Returns when a bucket is full that holds no more than this now. Never earlier than `full_at`.
    fn lower(
        self,
        full_at: DateTime<Utc>,
        per_minute: Option<u32>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let share = Share::of(self.units, per_minute);
        let lacking = share.filled_in - share.earned_in;
        if per_minute.is_none() || lacking <= TimeDelta::zero() {
            return full_at;
        }
        let closed = if self.units == 0 {
            self.unit_renewed_in.min(LONGEST_WAIT)
        } else {
            TimeDelta::zero()
        };
        full_at.max(now + closed + lacking)
    }
}

impl Buckets {
    /// Returns the buckets with no more in them than the provider has left. They are never fuller than before.
    pub fn lowered(self, rate: Rate, left: LimitsLeft, now: DateTime<Utc>) -> Self {
        let lower = |full_at, left: Option<Left>, per_minute| {
            left.map_or(full_at, |left| left.lower(full_at, per_minute, now))
        };
        Self {
            requests_full_at: lower(self.requests_full_at, left.requests, rate.requests),
            tokens_full_at: lower(self.tokens_full_at, left.tokens, rate.tokens),
        }
    }
}

/// Returns what a bucket holds.
fn bucket_of(per_minute: u32) -> i64 {
    (i64::from(per_minute) / BUCKET_PART).max(1)
}

/// When a job may ask, and what its request counts in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssignedTurn {
    pub at: DateTime<Utc>,
    pub tokens: i64,
}

/// Returns the times at which the first of the waiting jobs may ask, up to `horizon` from now. `assigned` are the turns that
/// were assigned before and not taken yet; jobs are given by what their requests count in tokens.
pub fn assign_turns(
    buckets: Buckets,
    rate: Rate,
    assigned: &[AssignedTurn],
    waiting: &[i64],
    now: DateTime<Utc>,
    horizon: TimeDelta,
) -> Vec<DateTime<Utc>> {
    let mut ahead = assigned.iter().fold(buckets, |ahead, turn| {
        ahead.after(rate, turn.tokens, now.max(turn.at))
    });
    let mut turns = Vec::new();
    for tokens in waiting {
        let at = ahead.fits_at(rate, *tokens, now);
        if at > now + horizon {
            break;
        }
        ahead = ahead.after(rate, *tokens, at);
        turns.push(at);
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis)
    }

    const FULL: Buckets = Buckets {
        requests_full_at: DateTime::UNIX_EPOCH,
        tokens_full_at: DateTime::UNIX_EPOCH,
    };

    fn requests(per_minute: u32) -> Rate {
        Rate {
            requests: Some(per_minute),
            tokens: None,
        }
    }

    /// Asks every 10 ms for five minutes and returns when requests were admitted, in milliseconds.
    fn admitted(rate: Rate, tokens: i64) -> Vec<i64> {
        let mut buckets = FULL;
        let mut times = Vec::new();
        for millis in (0..300_000).step_by(10) {
            if buckets.fits_at(rate, tokens, at(millis)) <= at(millis) {
                buckets = buckets.after(rate, tokens, at(millis));
                times.push(millis);
            }
        }
        times
    }

    /// The most that a minute has, wherever it begins.
    fn most_in_a_minute(times: &[i64]) -> usize {
        let in_minute = |first: &i64| {
            let minute = *first..first + 60_000;
            times.iter().filter(|time| minute.contains(*time)).count()
        };
        times.iter().map(in_minute).max().unwrap_or(0)
    }

    #[test]
    fn no_minute_has_more_than_its_rate_and_a_twentieth() {
        for per_minute in [1, 7, 20, 60, 600, 1000] {
            let times = admitted(requests(per_minute), 0);
            let most = most_in_a_minute(&times);
            assert!(
                most * 20 <= per_minute as usize * 21,
                "{per_minute}: {most}"
            );
            // And all of it can be used.
            let total = times.len();
            assert!(
                total * 100 >= 5 * per_minute as usize * 98,
                "{per_minute}: {total}"
            );
        }
    }

    #[test]
    fn tokens_are_limited_with_the_requests_and_a_large_request_needs_a_full_bucket() {
        let rate = Rate {
            requests: Some(600),
            tokens: Some(60_000),
        };
        assert_eq!(admitted(rate, 1000).len(), 5 * 60 + 2);
        // 6,000 tokens are twice what the bucket holds and take six seconds.
        let large = admitted(rate, 6000);
        assert_eq!((large.len(), large[1]), (50, 6010));
    }

    #[test]
    fn bucket_without_a_limit_is_never_empty() {
        let no_limit = Rate::default();
        assert!(no_limit.is_unlimited());
        assert_eq!(FULL.after(no_limit, 1_000_000, at(0)), FULL);
        assert_eq!(no_limit.spacing(5), TimeDelta::zero());
    }

    #[test]
    fn turns_come_at_the_rate_behind_those_that_were_assigned_before() {
        let rate = requests(60);
        let seconds = |turns: Vec<DateTime<Utc>>| -> Vec<i64> {
            turns
                .iter()
                .map(|turn| (*turn - at(0)).num_seconds())
                .collect()
        };
        let horizon = TimeDelta::seconds(5);
        let turns = assign_turns(FULL, rate, &[], &[0; 20], at(0), horizon);
        assert_eq!(seconds(turns), [0, 0, 0, 1, 2, 3, 4]);
        let before = [-500, 0, 0, 1000].map(|millis| AssignedTurn {
            at: at(millis),
            tokens: 0,
        });
        let turns = assign_turns(FULL, rate, &before, &[0; 20], at(0), horizon);
        assert_eq!(seconds(turns), [2, 3, 4]);
        assert!(assign_turns(FULL, rate, &before, &[], at(0), horizon).is_empty());
    }

    #[test]
    fn provider_with_less_left_lowers_the_bucket_and_one_with_more_does_not() {
        // The bucket holds 30, and a request is earned in 100 ms.
        let rate = requests(600);
        let left = |units, millis| LimitsLeft {
            requests: Some(Left {
                units,
                unit_renewed_in: TimeDelta::milliseconds(millis),
            }),
            tokens: None,
        };
        let fits_at = |left| {
            let lowered = FULL.lowered(rate, left, at(0));
            (lowered.fits_at(rate, 0, at(0)) - at(0)).num_milliseconds()
        };
        assert_eq!(fits_at(left(30, 500)), 0);
        assert_eq!(fits_at(left(1, 500)), 0);
        // Nothing is left: not before the provider has renewed one and we have earned one.
        assert_eq!(fits_at(left(0, 500)), 600);
        assert!(left(29, 0).lowers(rate) && !left(30, 0).lowers(rate));
        assert!(!left(0, 0).lowers(Rate::default()));
        // After three more the bucket with three left is empty.
        let mut lowered = FULL.lowered(rate, left(3, 0), at(0));
        for _ in 0..3 {
            assert!(lowered.fits_at(rate, 0, at(0)) < at(1));
            lowered = lowered.after(rate, 0, at(0));
        }
        assert!(lowered.fits_at(rate, 0, at(0)) > at(50));
        // What is emptier already stays so.
        let empty = Buckets {
            requests_full_at: at(9000),
            ..FULL
        };
        assert_eq!(empty.lowered(rate, left(0, 500), at(0)), empty);
    }
}
