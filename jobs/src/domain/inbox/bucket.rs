//! When a deferred item returns: [`Bucket`], a moment in the user's day. Pure: the caller passes the current time.

use crate::domain::draft::send_at::local;
use base::str_enum;
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Timelike, Utc, Weekday};
use chrono_tz::Tz;

str_enum! {
    /// When a deferred item returns.
    #[schemars(rename = "DeferBucket")]
    Bucket {
        /// 13:00, or after 13:00 that of the next workday. Not offered from 16:00 on.
        Afternoon = "afternoon",
        /// The morning of the next workday.
        Tomorrow = "tomorrow",
        /// The morning two workdays on. Not offered on Thursdays and Fridays.
        ThisWeek = "this_week",
        /// The morning of the next Monday.
        NextWeek = "next_week",
    }
}

/// When a workday begins.
const MORNING: u32 = 9;
const AFTERNOON: u32 = 13;
/// From this hour on `this afternoon` is not offered.
const EVENING: u32 = 16;

impl Bucket {
    /// Resolves it in `zone` at `now` to a moment that is always ahead; `None` if it is not offered then.
    pub fn moment(self, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let here = now.with_timezone(&zone);
        let (today, hour) = (here.date_naive(), here.hour());
        let (day, hour) = match self {
            Self::Afternoon if hour >= EVENING => return None,
            Self::Afternoon if hour >= AFTERNOON => (workdays_on(today, 1), AFTERNOON),
            Self::Afternoon => (today, AFTERNOON),
            Self::Tomorrow => (workdays_on(today, 1), MORNING),
            Self::ThisWeek => match today.weekday() {
                Weekday::Thu | Weekday::Fri => return None,
                // From Wednesday that is Friday.
                Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Sat | Weekday::Sun => {
                    (workdays_on(today, 2), MORNING)
                }
            },
            Self::NextWeek => {
                let ahead = 7 - u64::from(today.weekday().num_days_from_monday());
                (today + Days::new(ahead), MORNING)
            }
        };
        let time = NaiveTime::from_hms_opt(hour, 0, 0)?;
        Some(local(zone, day, time))
    }

    /// Lists what is offered at `now`, with the moment of each.
    pub fn offered(zone: Tz, now: DateTime<Utc>) -> Vec<(Self, DateTime<Utc>)> {
        Self::ALL
            .iter()
            .filter_map(|bucket| Some((*bucket, bucket.moment(zone, now)?)))
            .collect()
    }
}

/// Returns the day so many workdays after `day`.
fn workdays_on(day: NaiveDate, count: u32) -> NaiveDate {
    let mut day = day;
    for _ in 0..count {
        day = day + Days::new(1);
        while matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
            day = day + Days::new(1);
        }
    }
    day
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    /// Resolves a bucket in Berlin at this local time.
    fn berlin(bucket: Bucket, now: &str) -> Option<String> {
        let zone = Tz::Europe__Berlin;
        let now = chrono::NaiveDateTime::parse_from_str(now, "%Y-%m-%d %H:%M").unwrap();
        let now = now.and_local_timezone(zone).earliest().unwrap().to_utc();
        let then = bucket.moment(zone, now)?.with_timezone(&zone);
        Some(then.format("%a %m-%d %H:%M").to_string())
    }

    #[test]
    fn bucket_is_the_moment_people_mean() {
        use Bucket::{Afternoon, NextWeek, ThisWeek, Tomorrow};
        // 23 November 2026 is a Monday.
        for (bucket, now, then) in [
            (Afternoon, "2026-11-23 08:00", Some("Mon 11-23 13:00")),
            (Afternoon, "2026-11-23 12:59", Some("Mon 11-23 13:00")),
            (Afternoon, "2026-11-23 13:00", Some("Tue 11-24 13:00")),
            (Afternoon, "2026-11-27 15:59", Some("Mon 11-30 13:00")),
            (Afternoon, "2026-11-23 16:00", None),
            (Afternoon, "2026-11-23 16:30", None),
            (Tomorrow, "2026-11-23 23:59", Some("Tue 11-24 09:00")),
            (Tomorrow, "2026-11-27 10:00", Some("Mon 11-30 09:00")),
            (Tomorrow, "2026-11-28 10:00", Some("Mon 11-30 09:00")),
            (ThisWeek, "2026-11-23 10:00", Some("Wed 11-25 09:00")),
            (ThisWeek, "2026-11-24 10:00", Some("Thu 11-26 09:00")),
            (ThisWeek, "2026-11-25 10:00", Some("Fri 11-27 09:00")),
            (ThisWeek, "2026-11-26 10:00", None),
            (ThisWeek, "2026-11-27 10:00", None),
            (ThisWeek, "2026-11-29 10:00", Some("Tue 12-01 09:00")),
            (NextWeek, "2026-11-23 08:00", Some("Mon 11-30 09:00")),
            (NextWeek, "2026-11-29 23:00", Some("Mon 11-30 09:00")),
        ] {
            assert_eq!(berlin(bucket, now).as_deref(), then, "{bucket} at {now}");
        }
    }

    #[test]
    fn morning_is_a_morning_on_both_sides_of_a_change_of_the_clocks() {
        let then =
            Bucket::NextWeek.moment(Tz::Europe__Berlin, "2026-03-27T12:00:00Z".parse().unwrap());
        assert_eq!(then, Some("2026-03-30T07:00:00Z".parse().unwrap()));
        let then =
            Bucket::NextWeek.moment(Tz::Europe__Berlin, "2026-10-23T12:00:00Z".parse().unwrap());
        assert_eq!(then, Some("2026-10-26T08:00:00Z".parse().unwrap()));
    }

    const ZONES: [Tz; 8] = [
        Tz::UTC,
        Tz::Europe__Berlin,
        Tz::America__New_York,
        Tz::America__St_Johns,
        Tz::Australia__Lord_Howe,
        Tz::Asia__Kathmandu,
        Tz::Pacific__Apia,
        Tz::Pacific__Chatham,
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// Any minute from 2026 to 2035.
        #[test]
        fn every_bucket_is_ahead_on_a_workday_and_at_its_hour(
            zone in prop::sample::select(&ZONES[..]),
            minutes in 0_i64..5_258_880,
        ) {
            let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
            let now = start + TimeDelta::minutes(minutes);
            let here = now.with_timezone(&zone);
            for (bucket, moment) in Bucket::offered(zone, now) {
                let then = moment.with_timezone(&zone);
                prop_assert!(moment > now, "{bucket}: {then} is not after {here}");
                prop_assert!(moment - now <= TimeDelta::hours(8 * 24 + 1), "{bucket}: {then}");
                let hour = if bucket == Bucket::Afternoon { 13 } else { 9 };
                prop_assert_eq!((then.hour(), then.minute()), (hour, 0), "{}: {}", bucket, then);
                let weekend = matches!(then.weekday(), Weekday::Sat | Weekday::Sun);
                prop_assert!(!weekend || then.date_naive() == here.date_naive(), "{bucket}: {then}");
                if bucket == Bucket::NextWeek {
                    prop_assert_eq!(then.weekday(), Weekday::Mon);
                }
                if bucket == Bucket::ThisWeek && here.weekday().num_days_from_monday() < 5 {
                    prop_assert_eq!(then.iso_week(), here.iso_week());
                }
            }
            let late = here.hour() >= 16;
            prop_assert_eq!(Bucket::Afternoon.moment(zone, now).is_none(), late);
            let ending = matches!(here.weekday(), Weekday::Thu | Weekday::Fri);
            prop_assert_eq!(Bucket::ThisWeek.moment(zone, now).is_none(), ending);
        }
    }
}
