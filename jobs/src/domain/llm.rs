//! Model calls as the business sees them: [`Lane`], the circuit breaker of a provider with a model, [`rate`], how often it is
//! asked, [`urgency`], how soon an answer is needed, and [`OutagePolicy`], what a tenant wants during an outage. Pure.

pub mod capture;
pub mod rate;
pub mod urgency;

use base::str_enum;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

str_enum! {
    /// What triage does while the model is unavailable.
    OnOutage {
        /// It waits for the model, up to the longest wait.
        Wait = "wait",
        /// It leaves the email to a person after `fallback_after_seconds`, and judges it again when the model is back.
        FallbackAfter = "fallback_after",
    }
}

str_enum! {
    /// The period of a budget, in UTC.
    BudgetPeriod {
        Day = "day",
        Month = "month",
    }
}

str_enum! {
    /// Whether the provider bills a request.
    Billing {
        /// The request is in flight.
        Reserved = "reserved",
        /// It has ended, and its usage is known.
        Settled = "settled",
        /// It timed out, or its worker died: the provider may bill it.
        PossiblyBilled = "possibly_billed",
    }
}

str_enum! {
    /// How a request to a model was served.
    #[schemars(rename = "ServiceTier")]
    Tier {
        Standard = "standard",
        /// Cheaper and slower.
        Flex = "flex",
        /// In a batch, within a day: the cheapest.
        Batch = "batch",
        /// By an answer of before: no request was sent.
        Cache = "cache",
    }
}

/// A model of a provider. It names a lane, and what all workers may ask of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelName<'a> {
    pub provider: &'a str,
    pub model: &'a str,
}

/// What a tenant wants during an outage of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutagePolicy {
    pub on_outage: OnOutage,
    /// The longest wait of a triage, in seconds.
    pub triage_wait: i32,
    /// The longest wait of a draft, in seconds.
    pub draft_wait: i32,
    /// When triage falls back with [`OnOutage::FallbackAfter`], in seconds.
    pub fallback_after: i32,
}

impl Default for OutagePolicy {
    fn default() -> Self {
        Self {
            on_outage: OnOutage::Wait,
            triage_wait: 24 * 3600,
            draft_wait: 72 * 3600,
            fallback_after: 3600,
        }
    }
}

impl OutagePolicy {
    /// Returns how long a triage waits before a person must look at the email.
    pub fn triage(&self) -> TimeDelta {
        let longest = TimeDelta::seconds(self.triage_wait.into());
        match self.on_outage {
            OnOutage::Wait => longest,
            OnOutage::FallbackAfter => longest.min(TimeDelta::seconds(self.fallback_after.into())),
        }
    }

    /// Returns how long a draft waits before it is given up.
    pub fn draft(&self) -> TimeDelta {
        TimeDelta::seconds(self.draft_wait.into())
    }
}

/// What a failed request says about its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneEffect {
    /// Nothing: another request may succeed.
    Nothing,
    /// It may be unavailable. Several in a row open the lane.
    Counts,
    /// It asked to be left alone until then.
    OpensUntil(DateTime<Utc>),
    /// It refuses every request until an operator acts.
    Stops,
}

/// How often a provider that is unavailable is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanePolicy {
    /// Failures in a row that open a lane.
    pub threshold: i32,
    /// The first time between two probes; it doubles.
    pub first: Duration,
    /// The longest time between two probes. Ten times as long if an operator must act.
    pub longest: Duration,
}

impl Default for LanePolicy {
    /// A provider that is back is noticed within a minute, and asked at most once a second meanwhile.
    fn default() -> Self {
        Self::probing_every(Duration::from_secs(60))
    }
}

impl LanePolicy {
    /// Returns a policy with this longest time between two probes.
    pub fn probing_every(longest: Duration) -> Self {
        Self {
            threshold: 3,
            first: longest.min(Duration::from_secs(1)),
            longest,
        }
    }
}

/// The state of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// The class of the failure that opened it; none if it is closed.
    pub reason: Option<String>,
    /// Nobody asks before then. Set exactly if there is a reason.
    pub until: Option<DateTime<Utc>>,
    /// Failures since the last success.
    pub failures: i32,
}

impl Lane {
    /// Returns the lane after a failed request, or `None` if it does not change.
    pub fn after_failure(
        &self,
        reason: &str,
        effect: LaneEffect,
        now: DateTime<Utc>,
        policy: LanePolicy,
    ) -> Option<Self> {
        // Requests that were in flight when the lane opened fail for the same reason: one outage counts once.
        let is_waiting = self.until.is_some_and(|until| until > now);
        let failures = if is_waiting {
            self.failures
        } else {
            self.failures.saturating_add(1)
        };
        let until = match effect {
            LaneEffect::Nothing => return None,
            LaneEffect::OpensUntil(at) => self.until.map_or(at, |until| until.max(at)),
            LaneEffect::Counts | LaneEffect::Stops if is_waiting => return None,
            LaneEffect::Counts if failures < policy.threshold && self.reason.is_none() => {
                return Some(Self {
                    failures,
                    ..self.clone()
                });
            }
            LaneEffect::Counts => {
                now + backoff(failures - policy.threshold, policy.first, policy.longest)
            }
            LaneEffect::Stops => {
                now + backoff(failures - 1, policy.longest / 2, policy.longest * 10)
            }
        };
        Some(Self {
            reason: Some(reason.to_owned()),
            until: Some(until),
            failures,
        })
    }
}

fn backoff(doublings: i32, first: Duration, longest: Duration) -> TimeDelta {
    let doublings = u32::try_from(doublings).unwrap_or(0).min(20);
    let wait = first.saturating_mul(1 << doublings).min(longest);
    TimeDelta::from_std(wait).unwrap_or(TimeDelta::days(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn failed(lane: &Lane, effect: LaneEffect, now: i64) -> Lane {
        lane.after_failure("class", effect, at(now), LanePolicy::default())
            .unwrap_or_else(|| lane.clone())
    }

    #[test]
    fn third_failure_in_a_row_opens_the_lane_and_probes_get_rarer() {
        let mut lane = Lane::default();
        for failures in 1..=2 {
            lane = failed(&lane, LaneEffect::Counts, 0);
            assert_eq!((lane.failures, lane.until), (failures, None));
        }
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..9 {
            lane = failed(&lane, LaneEffect::Counts, now);
            let until = lane.until.unwrap();
            waits.push((until - at(now)).num_seconds());
            now = until.timestamp();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn requests_in_flight_when_the_lane_opened_do_not_prolong_it() {
        let open = failed(&Lane::default(), LaneEffect::Stops, 0);
        assert_eq!(open.until, Some(at(30)));
        for effect in [LaneEffect::Counts, LaneEffect::Stops, LaneEffect::Nothing] {
            assert_eq!(failed(&open, effect, 29), open);
        }
        // Unless the provider says so.
        let asked_to_wait = failed(&open, LaneEffect::OpensUntil(at(100)), 29);
        assert_eq!(
            (asked_to_wait.until, asked_to_wait.failures),
            (Some(at(100)), 1)
        );
        let less = failed(&asked_to_wait, LaneEffect::OpensUntil(at(50)), 29);
        assert_eq!(less.until, Some(at(100)));
    }

    #[test]
    fn stopped_lane_is_probed_at_most_every_ten_minutes() {
        let mut lane = Lane::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..7 {
            lane = failed(&lane, LaneEffect::Stops, now);
            let until = lane.until.unwrap();
            waits.push((until - at(now)).num_seconds());
            now = until.timestamp();
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600]);
    }

    #[test]
    fn fallback_comes_at_the_wish_of_the_tenant_or_at_the_end_of_the_wait() {
        let policy = OutagePolicy::default();
        assert_eq!(policy.triage(), TimeDelta::hours(24));
        assert_eq!(policy.draft(), TimeDelta::hours(72));
        let soon = OutagePolicy {
            on_outage: OnOutage::FallbackAfter,
            ..policy
        };
        assert_eq!(soon.triage(), TimeDelta::hours(1));
        assert_eq!(soon.draft(), TimeDelta::hours(72));
        let short = OutagePolicy {
            triage_wait: 60,
            ..soon
        };
        assert_eq!(short.triage(), TimeDelta::minutes(1));
    }
}
