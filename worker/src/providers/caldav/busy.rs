//! Busy times by a free-busy query (RFC 4791 §7.10): the server says when, not what.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use jobs::domain::blocks::Span;

const FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// The most periods that are read.
const PERIODS: usize = 500;

/// Renders the query for the time from `from` to `to`.
pub(super) fn query(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<u8> {
    let (start, end) = (from.format(FORMAT), to.format(FORMAT));
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<free-busy-query xmlns="urn:ietf:params:xml:ns:caldav"><time-range start="{start}" end="{end}"/></free-busy-query>"#
    )
    .into_bytes()
}

/// Reads the busy times from a VFREEBUSY, cut to the time that was asked for and into spans of a day at most.
pub(super) fn spans(text: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Span> {
    let mut spans = Vec::new();
    let unfolded = text.replace("\r\n ", "").replace("\n ", "");
    let lines = unfolded.lines().filter_map(|line| line.split_once(':'));
    let busy = lines.filter(|(name, _)| is_busy(name));
    let periods = busy.flat_map(|(_, value)| value.split(','));
    for (start, end) in periods.filter_map(period).take(PERIODS) {
        let (mut start, end) = (start.max(from), end.min(to));
        while start < end {
            let until = end.min(start + TimeDelta::days(1));
            spans.extend(Span::new(start, until));
            start = until;
        }
    }
    spans
}

/// Returns whether the property lists busy times: all kinds do, except for free ones.
fn is_busy(property: &str) -> bool {
    let property = property.to_ascii_uppercase();
    let mut parts = property.split(';');
    parts.next() == Some("FREEBUSY") && !parts.any(|parameter| parameter == "FBTYPE=FREE")
}

/// Parses `start/end` or `start/duration`.
fn period(text: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let (start, end) = text.trim().split_once('/')?;
    let moment = |text| Some(NaiveDateTime::parse_from_str(text, FORMAT).ok()?.and_utc());
    let start: DateTime<Utc> = moment(start)?;
    let end = match end.strip_prefix('P') {
        Some(length) => start.checked_add_signed(duration(length)?)?,
        None => moment(end)?,
    };
    Some((start, end))
}

/// Parses a duration behind its `P`: `1W`, `2DT3H`, `T30M` (RFC 5545 §3.3.6).
fn duration(text: &str) -> Option<TimeDelta> {
    let (mut seconds, mut digits) = (0i64, String::new());
    for char in text.chars() {
        let unit = match char {
            'T' => continue,
            '0'..='9' => {
                digits.push(char);
                continue;
            }
            'W' => 7 * 86_400,
            'D' => 86_400,
            'H' => 3_600,
            'M' => 60,
            'S' => 1,
            _ => return None,
        };
        let count: i64 = std::mem::take(&mut digits).parse().ok()?;
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
    }
    digits.is_empty().then(|| TimeDelta::try_seconds(seconds))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn busy_times_are_read_in_every_form_and_cut_to_what_was_asked_for() {
        let text = "BEGIN:VCALENDAR\r\nBEGIN:VFREEBUSY\r\n\
            FREEBUSY;FBTYPE=BUSY:20261124T090000Z/20261124T100000Z,20261124T12\r\n 0000Z/PT1H30M\r\n\
            FREEBUSY:20261122T000000Z/20261123T080000Z\r\n\
            FREEBUSY;FBTYPE=BUSY-TENTATIVE:20261126T000000Z/P1D\r\n\
            FREEBUSY;FBTYPE=FREE:20261125T090000Z/20261125T100000Z\r\n\
            FREEBUSY:nonsense,20261125T090000Z/PT1X,20261125T100000Z/20261125T090000Z\r\n\
            SUMMARY:20261125T090000Z/20261125T100000Z\r\nEND:VFREEBUSY\r\nEND:VCALENDAR\r\n";
        let (from, to) = (at("2026-11-23T07:00:00Z"), at("2026-11-26T12:00:00Z"));
        let found: Vec<_> = spans(text, from, to)
            .into_iter()
            .map(|span| {
                format!(
                    "{} {}",
                    span.start().format("%d %H:%M"),
                    span.end().format("%d %H:%M")
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                "24 09:00 24 10:00",
                "24 12:00 24 13:30",
                "23 07:00 23 08:00",
                "26 00:00 26 12:00"
            ]
        );
    }

    #[test]
    fn long_absence_is_several_spans() {
        let text = "FREEBUSY:20261101T000000Z/20261201T000000Z";
        let (from, to) = (at("2026-11-23T12:00:00Z"), at("2026-11-25T18:00:00Z"));
        assert_eq!(spans(text, from, to).len(), 3);
        assert!(spans("<html>", from, to).is_empty());
    }

    #[test]
    fn query_names_the_time_range() {
        let query = query(at("2026-11-23T07:00:00Z"), at("2026-12-07T07:00:00Z"));
        let text = String::from_utf8(query).unwrap();
        assert!(text.contains(r#"<time-range start="20261123T070000Z" end="20261207T070000Z"/>"#));
    }
}
