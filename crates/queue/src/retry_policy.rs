//! [`RetryPolicy`]: how often a job is tried, and how long it waits for its next attempt.

use std::time::Duration;

/// Exponential backoff with full jitter: the delay is uniform in [0, min(cap, base · 2ⁿ)], but at least `floor`.
///
/// Full jitter spreads a burst of failures over the whole interval; the floor prevents a hot loop after a drawn zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// How many attempts may fail before the job is discarded, including the first.
    pub max_attempts: i32,
    pub base: Duration,
    pub cap: Duration,
    pub floor: Duration,
}

impl RetryPolicy {
    /// Returns the time until the next attempt after `errors` failures (from 1), with `draw` uniform in [0, 1).
    pub fn delay(&self, errors: i32, draw: f64) -> Duration {
        let doublings = u32::try_from(errors.max(1) - 1).unwrap_or(0).min(30);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.cap);
        ceiling.mul_f64(draw.clamp(0.0, 1.0)).max(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        base: Duration::from_secs(2),
        cap: Duration::from_secs(600),
        floor: Duration::from_millis(200),
    };

    #[test]
    fn ceiling_doubles_until_the_cap() {
        let ceilings: Vec<u64> = (1..=11).map(|n| POLICY.delay(n, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    }

    proptest! {
        #[test]
        fn every_delay_lies_between_floor_and_ceiling(errors in -5i32..200, draw in 0.0f64..1.0) {
            let delay = POLICY.delay(errors, draw);
            prop_assert!(delay >= POLICY.floor && delay <= POLICY.delay(errors, 1.0).max(POLICY.floor));
            prop_assert!(delay <= POLICY.cap);
        }
    }
}
