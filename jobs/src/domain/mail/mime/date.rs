//! Dates as programs write them: RFC 5322 with its obsolete forms, ISO 8601, day-month-year, months in other languages.

mod months;

use crate::domain::mail::limits;
use crate::domain::time::is_writable;
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, Utc, Weekday};
use months::month;

/// The parts of a date that have been seen.
#[derive(Default)]
struct Seen {
    day: Option<u32>,
    month: Option<u32>,
    year: Option<i32>,
    time: Option<NaiveTime>,
    offset_minutes: Option<i32>,
    afternoon: Option<bool>,
    /// It is the end of the day, `24:00`.
    is_midnight_after: bool,
}

/// The moment, if there is a whole date. Without a zone it is taken for UTC, without a time for midnight.
pub(super) fn read(value: &str) -> Option<DateTime<Utc>> {
    let value = without_comments(&value[..value.floor_char_boundary(limits::HEADER)]);
    // The seconds since 1970, which programs write that forget to format a date.
    let is_seconds = value.trim().len() == 10 && value.trim().bytes().all(|c| c.is_ascii_digit());
    if is_seconds {
        return DateTime::from_timestamp(value.trim().parse().ok()?, 0);
    }
    let mut seen = Seen::default();
    for word in value.split(|c: char| c.is_whitespace() || c == ',') {
        if !word.is_empty() {
            seen.take(word);
        }
    }
    seen.finish()
}

impl Seen {
    fn take(&mut self, word: &str) {
        // `23. November`
        let number = without_ordinal(word.trim_end_matches('.'));
        // `2026-11-23T10:00:00.5+01:00`
        if let Some((date, time)) = word.split_once(['T', 't'])
            && self.year.is_none()
            && date.len() >= 8
            && date.starts_with(|c: char| c.is_ascii_digit())
        {
            self.take(date);
            self.take_time(time);
        } else if word.starts_with(['+', '-']) {
            self.offset_minutes = self.offset_minutes.or_else(|| offset(word));
        } else if let Some((date, rest)) = word
            .split_once('日')
            .filter(|(date, _)| date.contains('年'))
        {
            // `2026年11月23日(月)`
            self.take_date(&date.replace(['年', '月'], "-"));
            self.take_time(rest);
        } else if word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit()) {
            self.take_time(word);
        } else if number.contains(['-', '/', '.']) && word.starts_with(|c: char| c.is_ascii_digit())
        {
            // Some programs write `10.00.00` for a time; behind a whole date it can be nothing else.
            match self.year.is_some() && self.time.is_none() {
                true => self.take_time(&word.replace('.', ":")),
                false => self.take_date(word),
            }
        } else if number.bytes().all(|c| c.is_ascii_digit()) {
            self.take_number(number);
        } else {
            self.take_name(word);
        }
    }

    fn take_time(&mut self, word: &str) {
        let zone = word
            .find(|c: char| !c.is_ascii_digit() && !":.".contains(c))
            .unwrap_or(word.len());
        let (clock, zone) = word.split_at(zone);
        let parts: Vec<u32> = match clock.contains(':') {
            true => clock
                .split(':')
                .map_while(|part| part.split('.').next()?.parse().ok())
                .collect(),
            // `100000`, the basic form of ISO 8601
            false => (0..clock.len().min(6))
                .step_by(2)
                .map_while(|at| clock.get(at..at + 2)?.parse().ok())
                .collect(),
        };
        let second = parts.get(2).copied().unwrap_or_default();
        match parts[..] {
            _ if self.time.is_some() => {}
            [24, 0, ..] => {
                self.time = Some(NaiveTime::MIN);
                self.is_midnight_after = true;
            }
            // A leap second is the one before.
            [hour, minute, ..] => {
                self.time = NaiveTime::from_hms_opt(hour, minute, second.min(59));
            }
            [hour] => self.time = NaiveTime::from_hms_opt(hour, 0, 0),
            [] => {}
        }
        if !zone.is_empty() {
            self.take(zone);
        }
    }

    /// `23-Nov-2026`, `2026/11/23`, `23.11.2026`, `2026-W48-1`, `2026-327`.
    fn take_date(&mut self, word: &str) {
        let parts: Vec<&str> = word
            .split(['-', '/', '.'])
            .filter(|part| !part.is_empty())
            .collect();
        let number = |part: &str| part.parse::<u32>().ok();
        let (first, second, third) = match parts[..] {
            [year, week, weekday] if week.starts_with(['W', 'w']) => {
                return self.take_day(day_of_week(year, &week[1..], weekday));
            }
            [year, day] if year.len() == 4 && day.len() == 3 => {
                let day = number(day).zip(full_year(year));
                return self
                    .take_day(day.and_then(|(day, year)| NaiveDate::from_yo_opt(year, day)));
            }
            [first, second, third] => (first, second, third),
            _ => return,
        };
        let (year, month, day) = match (first.len() == 4, month(second), number(second)) {
            (true, named, numbered) => (first, named.or(numbered), number(third)),
            (false, Some(named), _) => (third, Some(named), number(first)),
            // The second number cannot be a month: it was written in the American order.
            (false, None, Some(day)) if day > 12 => (third, number(first), Some(day)),
            (false, None, numbered) => (third, numbered, number(first)),
        };
        self.year = full_year(year);
        (self.month, self.day) = (month, day);
    }

    fn take_day(&mut self, day: Option<NaiveDate>) {
        self.year = day.map(|day| day.year());
        self.month = day.map(|day| day.month());
        self.day = day.map(|day| day.day());
    }

    fn take_number(&mut self, word: &str) {
        match word.len() {
            // `2026. 11. 23.`
            1 | 2 if self.year.is_some() && self.month.is_none() && self.day.is_none() => {
                self.month = word.parse().ok().filter(|month| *month <= 12);
                self.day = word.parse().ok().filter(|day| *day > 12);
            }
            // `23 thg 11 2026`
            1 | 2 if self.day.is_some() && self.month.is_none() && self.year.is_none() => {
                self.month = word.parse().ok().filter(|month| *month <= 12);
            }
            1..=3 if self.day.is_none() => self.day = word.parse().ok(),
            // `0100` whose sign is missing
            4 if self.time.is_some() && self.year.is_some() => {
                self.offset_minutes = self.offset_minutes.or_else(|| offset(&format!("+{word}")));
            }
            6 if self.year.is_some() => self.take_time(word),
            2..=4 if self.year.is_none() => self.year = full_year(word),
            8 if self.year.is_none() => {
                self.year = full_year(&word[..4]);
                (self.month, self.day) = (word[4..6].parse().ok(), word[6..].parse().ok());
            }
            _ => {}
        }
    }

    fn take_name(&mut self, word: &str) {
        let upper = word.to_ascii_uppercase();
        match upper.trim_end_matches('.') {
            "AM" | "A.M" => self.afternoon = Some(false),
            "PM" | "P.M" => self.afternoon = Some(true),
            name => {
                // A second name is the month's: some weekdays begin like one (`mar 24 nov 2026`).
                if (self.month.is_none() || self.time.is_none())
                    && let Some(month) = month(name)
                {
                    self.month = Some(month);
                } else if self.time.is_some() && self.offset_minutes.is_none() {
                    self.offset_minutes = zone(name);
                }
            }
        }
    }

    fn finish(self) -> Option<DateTime<Utc>> {
        let mut date = NaiveDate::from_ymd_opt(self.year?, self.month?, self.day?)?;
        if self.is_midnight_after {
            date = date.succ_opt()?;
        }
        let mut time = self.time.unwrap_or_default();
        let hour = chrono::Timelike::hour(&time);
        time = match self.afternoon {
            Some(true) if hour < 12 => chrono::Timelike::with_hour(&time, hour + 12)?,
            Some(false) if hour == 12 => chrono::Timelike::with_hour(&time, 0)?,
            _ => time,
        };
        let offset = FixedOffset::east_opt(self.offset_minutes.unwrap_or_default() * 60)?;
        let local = date.and_time(time).and_local_timezone(offset).single()?;
        Some(local.with_timezone(&Utc)).filter(is_writable)
    }
}

/// `23rd` → `23`.
fn without_ordinal(word: &str) -> &str {
    let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    match &word[number.len()..] {
        "st" | "nd" | "rd" | "th" => number,
        _ => word,
    }
}

/// RFC 5322 §4.3: two digits are of this century up to 49, and three are counted from 1900.
fn full_year(text: &str) -> Option<i32> {
    let year: i32 = text.parse().ok()?;
    Some(match text.len() {
        1 | 2 if year < 50 => year + 2000,
        1..=3 => year + 1900,
        4 => year,
        _ => return None,
    })
}

/// Day `weekday` of an ISO week, counted from Monday.
fn day_of_week(year: &str, week: &str, weekday: &str) -> Option<NaiveDate> {
    let weekday = weekday.parse::<u8>().ok()?.checked_sub(1)?;
    let weekday = Weekday::try_from(weekday).ok()?;
    NaiveDate::from_isoywd_opt(full_year(year)?, week.parse().ok()?, weekday)
}

/// `+0100`, `-05:30`, `+1`.
fn offset(text: &str) -> Option<i32> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.get(..digits.len().min(4))?.parse().ok()?;
    let minutes = match digits.len() {
        1 | 2 => number * 60,
        _ => number / 100 * 60 + number % 100,
    };
    (minutes < 24 * 60).then_some(sign * minutes)
}

/// A zone's name, or one with an offset behind it (`GMT+0100`). Names that stand for several zones are left out.
fn zone(name: &str) -> Option<i32> {
    let hours = match name {
        "Z" | "UT" | "UTC" | "GMT" | "WET" => 0,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        "BST" | "CET" | "MEZ" | "WEST" => 1,
        "CEST" | "MESZ" | "EET" => 2,
        "EEST" | "MSK" => 3,
        "JST" | "KST" => 9,
        "AEST" => 10,
        "AEDT" => 11,
        _ => {
            let sign = name.find(['+', '-'])?;
            let base = zone(&name[..sign])?;
            return Some(base + offset(&name[sign..])?);
        }
    };
    Some(hours * 60)
}

/// Without comments, quotes, and the zone's name that Java puts in brackets behind its offset.
fn without_comments(value: &str) -> String {
    let mut depth = 0_usize;
    let mut kept = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' => {}
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moment_is_read_in_all_its_ways_of_being_written() {
        for value in [
            "Mon, 23 Nov 2026 10:00:00 +0100",
            "23 Nov 2026 10:00 +0100",
            "Mon, 23 Nov 26 04:00:00 EST",
            "Mon, 23 November 2026 10:00:00 GMT+0100",
            "Mon, 23 Nov 2026 10:00:00 +0100 (CET (winter))",
            "Mon Nov 23 10:00:00 2026 +01:00",
            "Mon Nov 23 09:00:00 UTC 2026",
            "2026-11-23T10:00:00+01:00",
            "2026-11-23T09:00:00.123Z",
            "20261123T090000Z",
            "20261123T1000+0100",
            "Mon, 23 Nov 2026 10.00.00 +0100",
            "2026-11-23 09:00:00",
            "23-11-2026 10:00:00 +0100",
            "23-Nov-2026 10:00:00 +0100",
            "23.11.2026 09:00",
            "11/23/2026 9:00:00 AM",
            "Mon, 23 Nov 2026 10:00:00+0100",
            "Mon, 23 Nov 126 09:00:00 GMT",
            "Mon, 023 Nov 2026 09:00:00 +0000",
            "2026-11-23T10:00:00,5+01:00",
            "2026-11-23T09Z",
            "2026-11-23T10:00:00+01:00[Europe/Berlin]",
            "2026-W48-1T09:00:00Z",
            "2026-327T09:00:00Z",
            "Mon, 23 Nov 2026 10:00:00 \"GMT+1\"",
            "23. November 2026 10:00:00 +0100",
            "lun. 23 nov. 2026 10:00:00 +0100",
            "Mon, 23 Nov 2026 10:00:00 0100",
            "Mon, 23 Nov 2026 090000 +0000",
            "2026年11月23日(月) 09:00",
            "2026年11月23日 09:00:00",
            "2026. 11. 23. 09:00:00",
            "월, 23 11월 2026 10:00:00 +0100",
            "Mon, 23 thg 11 2026 10:00:00 +0100",
            "1795424400",
            "November 23rd, 2026 9:00 AM UTC",
        ] {
            let expected = "2026-11-23T09:00:00+00:00";
            assert_eq!(
                read(value).map(|date| date.to_rfc3339()).as_deref(),
                Some(expected),
                "{value}"
            );
        }
    }

    #[test]
    fn month_is_read_in_other_languages_and_differs_from_a_weekday() {
        for (value, expected) in [
            ("mar., 24 nov. 2026 10:00:00 +0000", "2026-11-24T10:00"),
            ("mar 24 nov 2026 10:00:00 +0000", "2026-11-24T10:00"),
            ("Di, 01 Dez 2026 10:00:00 +0000", "2026-12-01T10:00"),
            ("Mo, 05 Okt 2026 10:00:00 +0000", "2026-10-05T10:00"),
            ("jeu., 3 DÉC. 2026 10:00 +0000", "2026-12-03T10:00"),
            ("1 marzo 2026 10:00 +0000", "2026-03-01T10:00"),
            ("пн, 5 окт 2026 10:00 +0000", "2026-10-05T10:00"),
            ("Pzt, 23 Kas 2026 10:00 +0000", "2026-11-23T10:00"),
            ("ma, 23 marraskuuta 2026 10:00 +0000", "2026-11-23T10:00"),
            ("Δευ, 23 Νοε 2026 10:00 +0000", "2026-11-23T10:00"),
            ("пн, 23 лис 2026 10:00 +0000", "2026-11-23T10:00"),
            ("23 נוב׳ 2026 10:00 +0000", "2026-11-23T10:00"),
            ("23 نوفمبر 2026 10:00 +0000", "2026-11-23T10:00"),
            ("23 พ.ย. 2026 10:00 +0000", "2026-11-23T10:00"),
            ("Mon, 30 Nov 2026 24:00:00 +0000", "2026-12-01T00:00"),
        ] {
            let found = read(value).map(|date| date.format("%Y-%m-%dT%H:%M").to_string());
            assert_eq!(found.as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for value in [
            "",
            "yesterday",
            "10:00",
            "Nov 2026",
            "31 Feb 2026 10:00 +0000",
            "0 Nov 2026",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_date_panics(value in "([0-9]{1,9}|[-+:/.,T() ]|Nov|GMT|[\\s\\S]){0,30}") {
            let _ = read(&value);
        }
    }
}
