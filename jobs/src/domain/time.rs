//! Moments and days as requests, parameters and messages give them: [`Moment`] and [`Day`], of the years 1 to 9999.
//!
//! Outside of these years RFC 3339 cannot write a time, Postgres cannot store many, and adding a day may overflow. A value
//! of these types can be stored, written and added to; [`is_writable`] is for those that come from somewhere else.

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::{borrow::Cow, str::FromStr};

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Moment(DateTime<Utc>);

/// A calendar day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Day(NaiveDate);

/// The text is not a time, or not of the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the years 1 to 9999")]
pub struct NotATime;

impl Moment {
    /// Cuts to whole microseconds, as Postgres stores them; a leap second is the first second of the next minute. Else
    /// two different times could be stored as one, and the last second of 9999 as one of 10000.
    ///
    /// # Errors
    /// If the year is not one of 1 to 9999.
    pub fn new(moment: DateTime<Utc>) -> Result<Self, NotATime> {
        DateTime::from_timestamp_micros(moment.timestamp_micros())
            .filter(is_writable)
            .map(Self)
            .ok_or(NotATime)
    }

    pub const fn utc(self) -> DateTime<Utc> {
        self.0
    }
}

impl Day {
    /// # Errors
    /// If the year is not one of 1 to 9999.
    pub fn new(day: NaiveDate) -> Result<Self, NotATime> {
        is_writable(&day).then_some(Self(day)).ok_or(NotATime)
    }

    pub const fn date(self) -> NaiveDate {
        self.0
    }
}

/// Whether the date lies in the years 1 to 9999.
pub fn is_writable(date: &impl Datelike) -> bool {
    (1..=9999).contains(&date.year())
}

impl FromStr for Moment {
    type Err = NotATime;

    /// Reads RFC 3339. chrono also takes signs and more digits, as in `+262142-12-31T23:59:59Z`.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let moment = DateTime::parse_from_rfc3339(text).map_err(|_| NotATime)?;
        Self::new(moment.to_utc())
    }
}

impl FromStr for Day {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| NotATime)?;
        Self::new(day)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let moment = DateTime::<Utc>::deserialize(deserializer)?;
        Self::new(moment).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let day = NaiveDate::deserialize(deserializer)?;
        Self::new(day).map_err(D::Error::custom)
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        DateTime::<Utc>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        DateTime::<Utc>::json_schema(generator)
    }
}

impl JsonSchema for Day {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        NaiveDate::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        NaiveDate::json_schema(generator)
    }
}

/// Deserializes an optional [`Moment`] into a field of chrono's type, for data that is also stored.
///
/// # Errors
/// If it is not a time of the years 1 to 9999.
pub fn optional_moment<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    let moment = Option::<Moment>::deserialize(deserializer)?;
    Ok(moment.map(Moment::utc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn moment_is_of_the_years_1_to_9999() {
        for (text, fits) in [
            ("0001-01-01T00:00:00Z", true),
            ("9999-12-31T23:59:59Z", true),
            ("2026-11-23T10:00:00.123456+02:00", true),
            ("0001-01-01T00:00:00+01:00", false),
            ("9999-12-31T23:59:59-01:00", false),
            ("0000-12-31T23:59:59Z", false),
            ("-4714-01-01T00:00:00Z", false),
            ("+10000-01-01T00:00:00Z", false),
            ("+262142-12-31T23:59:59Z", false),
            ("9999-12-31T23:59:60Z", false),
            ("2026-11-23", false),
            ("", false),
        ] {
            let read = serde_json::from_value::<Moment>(json!(text));
            assert_eq!(read.is_ok(), fits, "{text}");
            assert_eq!(text.parse::<Moment>().is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn moment_is_cut_to_microseconds() {
        for (text, stored) in [
            (
                "2026-11-23T10:00:00.123456999Z",
                "2026-11-23T10:00:00.123456Z",
            ),
            ("2026-11-23T10:00:60Z", "2026-11-23T10:01:00Z"),
            (
                "1969-12-31T23:59:59.9999999Z",
                "1969-12-31T23:59:59.999999Z",
            ),
        ] {
            assert_eq!(
                text.parse::<Moment>().unwrap().to_string(),
                stored,
                "{text}"
            );
        }
    }

    #[test]
    fn day_is_of_the_years_1_to_9999() {
        for (text, fits) in [
            ("0001-01-01", true),
            ("9999-12-31", true),
            ("0000-12-31", false),
            ("-0001-01-01", false),
            ("+10000-01-01", false),
            ("2026-02-30", false),
        ] {
            let read = serde_json::from_value::<Day>(json!(text));
            assert_eq!(read.is_ok(), fits, "{text}");
            assert_eq!(text.parse::<Day>().is_ok(), fits, "{text}");
        }
    }
}
