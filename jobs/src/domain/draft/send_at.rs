//! When to send a message: a time, or `tomorrow 09:00` in the user's zone, resolved to a time: [`SendAt`].

use crate::domain::time::Moment;
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// A requested time. Always in the future when it was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendAt {
    Moment(DateTime<Utc>),
    /// The next day, in the user's zone.
    Tomorrow(NaiveTime),
    /// The next day of this name, never today.
    On(Weekday, NaiveTime),
}

impl SendAt {
    /// Reads RFC 3339, `tomorrow 09:00` or `monday 09:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(moment) = text.parse::<Moment>() {
            return Some(Self::Moment(moment.utc()));
        }
        let (day, time) = text.split_once(' ')?;
        let time = NaiveTime::parse_from_str(time.trim(), "%H:%M").ok()?;
        if day.eq_ignore_ascii_case("tomorrow") {
            return Some(Self::Tomorrow(time));
        }
        // Whole names only: chrono also accepts "mon".
        let weekday: Weekday = day.parse().ok()?;
        (day.len() > 3).then_some(Self::On(weekday, time))
    }

    /// Resolves it for a user in `zone` at `now`. A local time that a clock change skips is the first moment after the
    /// gap; one that occurs twice is the first of the two.
    pub fn resolve(self, zone: Tz, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = now.with_timezone(&zone).date_naive();
        match self {
            Self::Moment(moment) => moment,
            Self::Tomorrow(time) => local(zone, today + Days::new(1), time),
            Self::On(weekday, time) => {
                let ahead = weekday.days_since(today.weekday());
                let ahead = if ahead == 0 { 7 } else { ahead };
                local(zone, today + Days::new(ahead.into()), time)
            }
        }
    }
}

/// The zone with this IANA name, or UTC if there is none.
pub fn zone(name: &str) -> Tz {
    name.parse().unwrap_or(Tz::UTC)
}

/// Whether this is the IANA name of a time zone.
pub fn is_zone(name: &str) -> bool {
    name.parse::<Tz>().is_ok()
}

/// Resolves a local time on this day.
pub fn local(zone: Tz, day: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
    let wanted = day.and_time(time);
    // Gaps are minutes to a day long (Samoa has skipped one).
    (0..=24 * 60)
        .find_map(|minutes| {
            zone.from_local_datetime(&(wanted + TimeDelta::minutes(minutes)))
                .earliest()
        })
        .map_or_else(|| wanted.and_utc(), |moment| moment.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn resolved(text: &str, zone: Tz, now: &str) -> DateTime<Utc> {
        SendAt::parse(text).unwrap().resolve(zone, at(now))
    }

    #[test]
    fn tomorrow_is_the_user_s_tomorrow() {
        let berlin = zone("Europe/Berlin");
        // 23:30 UTC is already the next day in Berlin.
        assert_eq!(
            resolved("tomorrow 09:00", berlin, "2026-11-23T23:30:00Z"),
            at("2026-11-25T08:00:00Z")
        );
        assert_eq!(
            resolved(
                "Tomorrow 09:00",
                zone("America/Los_Angeles"),
                "2026-11-23T23:30:00Z"
            ),
            at("2026-11-24T17:00:00Z")
        );
    }

    #[test]
    fn nine_o_clock_is_nine_o_clock_on_both_sides_of_a_change_of_the_clocks() {
        let berlin = zone("Europe/Berlin");
        assert_eq!(
            resolved("tomorrow 09:00", berlin, "2026-03-28T12:00:00Z"),
            at("2026-03-29T07:00:00Z")
        );
        assert_eq!(
            resolved("tomorrow 09:00", berlin, "2026-10-24T12:00:00Z"),
            at("2026-10-25T08:00:00Z")
        );
    }

    #[test]
    fn time_that_is_skipped_is_the_end_of_the_gap_and_one_that_comes_twice_the_first() {
        let berlin = zone("Europe/Berlin");
        assert_eq!(
            resolved("tomorrow 02:30", berlin, "2026-03-28T12:00:00Z"),
            at("2026-03-29T01:00:00Z")
        );
        assert_eq!(
            resolved("tomorrow 02:30", berlin, "2026-10-24T12:00:00Z"),
            at("2026-10-25T00:30:00Z")
        );
    }

    #[test]
    fn weekday_is_the_next_one_and_never_today() {
        // A Monday.
        let now = "2026-11-23T08:00:00Z";
        assert_eq!(
            resolved("monday 09:00", Tz::UTC, now),
            at("2026-11-30T09:00:00Z")
        );
        assert_eq!(
            resolved("Friday 17:15", Tz::UTC, now),
            at("2026-11-27T17:15:00Z")
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "tomorrow",
            "tomorrow 25:00",
            "soon 09:00",
            "mon 09:00",
            "09:00",
            "2026-11-23",
        ] {
            assert_eq!(SendAt::parse(text), None, "{text}");
        }
        assert_eq!(
            SendAt::parse("2026-11-24T09:00:00+01:00"),
            Some(SendAt::Moment(at("2026-11-24T08:00:00Z")))
        );
        assert_eq!(zone("Mars/Olympus"), Tz::UTC);
        assert!(is_zone("Europe/Berlin") && !is_zone("Mars/Olympus"));
    }
}
