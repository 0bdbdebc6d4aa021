//! Due dates as rules, messages and models write them: [`due_on`].

use crate::domain::time::{Day, is_writable};
use chrono::{DateTime, Datelike, Days, NaiveDate, Weekday};

/// Reads a day, seen from `today`: an ISO date or time, `today`, `tomorrow`, or a weekday in English, which is the next
/// one and never today. `None` for anything else: a date is not guessed.
pub fn due_on(text: &str, today: NaiveDate) -> Option<NaiveDate> {
    let text = text.trim().to_lowercase();
    if let Ok(day) = text.parse::<Day>() {
        return Some(day.date());
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(&text) {
        // The day is the one that the text names, whatever it is in UTC.
        return Some(at.date_naive()).filter(is_writable);
    }
    match text.as_str() {
        "today" => Some(today),
        "tomorrow" => today.checked_add_days(Days::new(1)),
        word => {
            let wanted: Weekday = word.parse().ok()?;
            let ahead = wanted.days_since(today.weekday());
            let ahead = if ahead == 0 { 7 } else { ahead };
            today.checked_add_days(Days::new(ahead.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_is_understood_and_nothing_is_guessed() {
        // A Monday.
        let today = NaiveDate::from_ymd_opt(2026, 11, 23).unwrap();
        let day = |text| due_on(text, today).map(|day| day.to_string());
        assert_eq!(day(" Friday").as_deref(), Some("2026-11-27"));
        assert_eq!(day("Monday").as_deref(), Some("2026-11-30"));
        assert_eq!(day("today").as_deref(), Some("2026-11-23"));
        assert_eq!(day("Tomorrow").as_deref(), Some("2026-11-24"));
        assert_eq!(day("2026-12-04").as_deref(), Some("2026-12-04"));
        assert_eq!(
            day("2026-12-04T10:00:00+01:00").as_deref(),
            Some("2026-12-04")
        );
        for vague in ["soon", "04/12", "", "friday week", "2026-02-30"] {
            assert_eq!(day(vague), None, "{vague}");
        }
    }
}
