//! The start and the length of a calendar event, as people write them: [`Start`], [`minutes`] and [`all_day`]. Pure.

use super::draft::send_at::local;
use super::time::{Moment, is_writable};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;

/// The length of an event that gives none.
const USUAL: i64 = 30;
/// The longest event: a day.
const LONGEST: i64 = 24 * 60;

/// A start as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Moment(DateTime<Utc>),
    /// In the user's own zone.
    Local(NaiveDateTime),
}

impl Start {
    /// Reads RFC 3339, also without an offset and without seconds, of the years 1 to 9999.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(moment) = text.parse::<Moment>() {
            return Some(Self::Moment(moment.utc()));
        }
        [
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d %H:%M",
            "%Y-%m-%dT%H:%M:%S",
            "%Y-%m-%d %H:%M:%S",
        ]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .filter(is_writable)
        .map(Self::Local)
    }

    /// Resolves it in `zone`. A time that the clocks skip is the first moment after the gap; one that occurs twice is
    /// the first of the two.
    pub fn moment(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::Moment(moment) => moment,
            Self::Local(when) => local(zone, when.date(), when.time()),
        }
    }
}

/// Reads a number of minutes; `None` if the text is not one in bounds.
pub fn minutes(text: Option<&str>) -> Option<i64> {
    match text {
        None => Some(USUAL),
        Some(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|minutes| (1..=LONGEST).contains(minutes)),
    }
}

/// Reads a date without a time, which is the start of an event that lasts all day.
pub fn all_day(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()?;
    // The day after is the end of the event, and has to be a date too.
    (1..=9998).contains(&date.year()).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_is_a_moment_or_a_time_on_the_users_clocks() {
        let zone = chrono_tz::Europe::Berlin;
        for (text, moment) in [
            ("2026-11-24T09:30:00+02:00", Some("2026-11-24T07:30:00Z")),
            ("2026-11-24T09:30:00Z", Some("2026-11-24T09:30:00Z")),
            ("2026-11-24T09:30", Some("2026-11-24T08:30:00Z")),
            (" 2026-07-24 09:30 ", Some("2026-07-24T07:30:00Z")),
            ("2026-07-24T09:30:15", Some("2026-07-24T07:30:15Z")),
            // A skipped time, and one that occurs twice.
            ("2026-03-29T02:30", Some("2026-03-29T01:00:00Z")),
            ("2026-10-25T02:30", Some("2026-10-25T00:30:00Z")),
            ("2026-11-24", None),
            ("tomorrow", None),
            ("2026-02-30T10:00", None),
            ("+262142-12-31T23:59:59Z", None),
            ("+262142-12-31T23:59", None),
            ("-4714-01-01T00:00", None),
        ] {
            let read = Start::parse(text).map(|start| start.moment(zone));
            let wanted = moment.map(|moment| moment.parse::<DateTime<Utc>>().unwrap());
            assert_eq!(read, wanted, "{text}");
        }
    }

    #[test]
    fn date_without_a_time_is_a_whole_day() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 24);
        for (text, date) in [
            (" 2026-11-24 ", day),
            ("2026-11-24T09:30", None),
            ("2026-02-30", None),
            ("9999-12-31", None),
            ("+12026-11-24", None),
        ] {
            assert_eq!(all_day(text), date, "{text}");
        }
    }

    #[test]
    fn event_lasts_between_a_minute_and_a_day() {
        for (text, wanted) in [
            (None, Some(30)),
            (Some("45"), Some(45)),
            (Some("1440"), Some(1440)),
            (Some("0"), None),
            (Some("1441"), None),
            (Some("an hour"), None),
        ] {
            assert_eq!(minutes(text), wanted, "{text:?}");
        }
    }
}
