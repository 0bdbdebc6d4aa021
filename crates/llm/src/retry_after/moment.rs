//! Parses one delay: [`moment`] for the value of a header, [`with_units`] for durations, [`sentence`] for prose.

use super::LONGEST;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Numbers from here on are times since 1970: in seconds, and in milliseconds.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLIS: f64 = 1e12;

/// Words that stand before a delay.
const BEFORE: [&str; 5] = [
    "retry in ",
    "try again in ",
    "retry after ",
    "try again after ",
    "please wait ",
];

/// Parses seconds, a time since 1970, a duration with units, or a date.
pub(crate) fn moment(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let until = |at: DateTime<Utc>| (at - now).to_std().ok();
    if let Ok(value) = text.parse::<f64>() {
        return if value >= EPOCH_MILLIS {
            until(epoch(value / 1000.0)?)
        } else if value >= EPOCH_SECONDS {
            until(epoch(value)?)
        } else {
            number(text, 1.0)
        };
    }
    let date = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text));
    match date {
        Ok(at) => until(at.to_utc()),
        Err(_) => with_units(text),
    }
}

fn epoch(seconds: f64) -> Option<DateTime<Utc>> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    DateTime::from_timestamp(i64::try_from(since.as_secs()).ok()?, since.subsec_nanos())
}

/// Parses a plain number of `unit` seconds. Servers send 0 and -1 for "unknown", which count as absent.
pub(super) fn number(text: &str, unit: f64) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok()? * unit;
    if !(seconds.is_finite() && seconds > 0.0) {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST))
}

/// Parses a duration with units: `34.07s`, `900ms`, `6m0s`, `1h2m3s`.
pub(super) fn with_units(text: &str) -> Option<Duration> {
    match leading(text) {
        Some((wait, "")) => Some(wait),
        _ => None,
    }
}

/// Finds the delay in a sentence: "Please retry in 34.07s.", "Try again in 2 minutes and 5 seconds."
pub(super) fn sentence(text: &str) -> Option<Duration> {
    let lower = text.to_ascii_lowercase();
    BEFORE.iter().find_map(|before| {
        let (_, rest) = lower.split_once(before)?;
        leading(rest).map(|(wait, _)| wait)
    })
}

/// Parses the duration at the start of a text; returns what follows it.
fn leading(text: &str) -> Option<(Duration, &str)> {
    let mut seconds = 0.0;
    let mut rest = text;
    let mut found = false;
    while let Some((part, after)) = part(rest) {
        found = true;
        seconds += part;
        rest = after;
    }
    let wait = number(&seconds.to_string(), 1.0)?;
    found.then_some((wait, rest))
}

/// Parses one number with its unit, and the words that join it to the part before: `6m`, ` 30 seconds`, ` and 5 s`.
fn part(text: &str) -> Option<(f64, &str)> {
    let text = text.trim_start_matches([' ', ',']);
    let text = text.strip_prefix("and ").unwrap_or(text);
    let digits = text
        .find(|char: char| !char.is_ascii_digit() && char != '.')
        .unwrap_or(text.len());
    let value: f64 = text[..digits].parse().ok()?;
    let rest = text[digits..].trim_start_matches(' ');
    let letters = rest
        .find(|char: char| !char.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let unit = match &rest[..letters] {
        "d" | "day" | "days" => 86_400.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "ms" | "millisecond" | "milliseconds" => 0.001,
        _ => return None,
    };
    Some((value * unit, &rest[letters..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_spaces() {
        for (text, seconds) in [
            ("34.07s", Some(34.07)),
            ("6m0s", Some(360.0)),
            ("1h2m3s", Some(3723.0)),
            ("30 seconds", Some(30.0)),
            ("1 hour, 5 minutes and 2 s", Some(3902.0)),
            ("5", None),
            ("5 apples", None),
            ("s", None),
            ("", None),
        ] {
            assert_eq!(
                with_units(text).map(|wait| wait.as_secs_f64()),
                seconds,
                "{text}"
            );
        }
    }

    #[test]
    fn sentence_may_go_on_after_the_delay() {
        let wait = |text| sentence(text).map(|wait| wait.as_secs());
        assert_eq!(
            wait("Try again in 30 seconds. Contact us for more."),
            Some(30)
        );
        assert_eq!(wait("You may try again in 5 million years"), None);
        assert_eq!(wait("Try later"), None);
    }
}
