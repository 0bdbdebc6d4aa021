//! The times of a calendar (RFC 5545 §3.3.4 to §3.3.6): [`Moment`].
//!
//! Knows no time zones: a time is shown with its zone's name, and a duration is added to what the clock there says.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use std::fmt;

/// When something begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Day(NaiveDate),
    /// With the zone as the calendar names it; empty where it names none.
    Time(NaiveDateTime, String),
    /// As it is written, where that cannot be read.
    Written(String),
}

impl Moment {
    /// `20261201T140000Z`, `20261201T140000` with its zone, or `20261201`.
    pub(super) fn read(value: &str, zone: Option<String>) -> Self {
        let value = value.trim();
        let number = |place: std::ops::Range<usize>| {
            let digits = value.get(place)?;
            let sound = digits.bytes().all(|c| c.is_ascii_digit());
            digits.parse().ok().filter(|_| sound)
        };
        let day = || {
            let year = i32::try_from(number(0..4)?).ok()?;
            NaiveDate::from_ymd_opt(year, number(4..6)?, number(6..8)?)
        };
        let Some(day) = day() else {
            return Self::Written(value.to_owned());
        };
        let time = || NaiveTime::from_hms_opt(number(9..11)?, number(11..13)?, 0);
        match time() {
            Some(time) => {
                let zone = if value.ends_with('Z') {
                    Some("UTC".to_owned())
                } else {
                    zone
                };
                Self::Time(day.and_time(time), zone.unwrap_or_default())
            }
            None => Self::Day(day),
        }
    }

    /// The moment so much later. `None` if the duration cannot be read, or leads nowhere.
    pub(super) fn after(&self, duration: &str) -> Option<Self> {
        let duration = read_duration(duration.trim())?;
        match self {
            Self::Day(day) => day.checked_add_signed(duration).map(Self::Day),
            Self::Time(time, zone) => {
                let time = time.checked_add_signed(duration)?;
                Some(Self::Time(time, zone.clone()))
            }
            Self::Written(_) => None,
        }
    }

    /// The last moment of what ends here: an end that is a day is the day after it (RFC 5545 §3.6.1).
    pub(super) fn last(self) -> Self {
        match self {
            Self::Day(day) => Self::Day(day.checked_sub_days(Days::new(1)).unwrap_or(day)),
            end => end,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => write!(f, "{day}"),
            Self::Time(time, zone) => {
                let shown = format!("{} {zone}", time.format("%Y-%m-%d %H:%M"));
                f.write_str(shown.trim_end())
            }
            Self::Written(text) => f.write_str(text),
        }
    }
}

/// `P1W`, `P1DT2H30M`; one that goes backwards is none.
fn read_duration(text: &str) -> Option<TimeDelta> {
    let mut rest = text.strip_prefix('+').unwrap_or(text).strip_prefix('P')?;
    let mut total = TimeDelta::zero();
    while !rest.is_empty() {
        rest = rest.strip_prefix('T').unwrap_or(rest);
        let unit = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..unit].parse().ok()?;
        let part = match rest.as_bytes()[unit] {
            b'W' => TimeDelta::try_weeks(number),
            b'D' => TimeDelta::try_days(number),
            b'H' => TimeDelta::try_hours(number),
            b'M' => TimeDelta::try_minutes(number),
            b'S' => TimeDelta::try_seconds(number),
            _ => None,
        };
        total = total.checked_add(&part?)?;
        rest = rest.get(unit + 1..)?;
    }
    Some(total)
}
