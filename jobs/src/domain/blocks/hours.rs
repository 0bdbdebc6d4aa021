//! The working day, Monday to Friday from nine to five in the user's zone: blocks outside are flagged, and a block
//! without a time gets one inside.

use super::Span;
use crate::domain::draft::send_at::local;
use chrono::{DateTime, Datelike, Days, DurationRound, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;

/// How far ahead a free time is searched.
const DAYS_AHEAD: u64 = 14;
/// The pause between two blocks.
const PAUSE: TimeDelta = TimeDelta::minutes(5);

const OPENS: NaiveTime = match NaiveTime::from_hms_opt(9, 0, 0) {
    Some(time) => time,
    None => NaiveTime::MIN,
};
const CLOSES: NaiveTime = match NaiveTime::from_hms_opt(17, 0, 0) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

const fn is_workday(day: Weekday) -> bool {
    !matches!(day, Weekday::Sat | Weekday::Sun)
}

/// Whether the whole span lies in one working day in this zone.
pub fn is_working_time(zone: Tz, span: Span) -> bool {
    let (start, end) = (
        span.start().with_timezone(&zone),
        span.end().with_timezone(&zone),
    );
    start.date_naive() == end.date_naive()
        && is_workday(start.weekday())
        && start.time() >= OPENS
        && end.time() <= CLOSES
}

/// Finds the first free working time of this length after `now`, in the next two weeks.
pub fn next_free(zone: Tz, busy: &[Span], now: DateTime<Utc>, length: TimeDelta) -> Option<Span> {
    let grid = TimeDelta::minutes(5);
    let now = now
        .duration_trunc(grid)
        .map_or(now, |down| if down < now { down + grid } else { down });
    let mut busy = busy.to_vec();
    busy.sort_unstable();
    let today = now.with_timezone(&zone).date_naive();
    (0..=DAYS_AHEAD)
        .map(|ahead| today + Days::new(ahead))
        .filter(|day| is_workday(day.weekday()))
        .find_map(|day| {
            let closes = local(zone, day, CLOSES);
            let mut span = Span::new(local(zone, day, OPENS).max(now), closes).ok()?;
            span = Span::new(span.start, span.start + length).ok()?;
            for taken in &busy {
                if taken.overlaps(span)
                    || (taken.end <= span.start && taken.end + PAUSE > span.start)
                {
                    let start = taken.end + PAUSE;
                    span = Span::new(start, start + length).ok()?;
                }
            }
            (span.end <= closes).then_some(span)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Tz = Tz::Europe__Berlin;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn span(start: &str, end: &str) -> Span {
        Span::new(at(start), at(end)).unwrap()
    }

    #[test]
    fn working_time_is_the_user_s_own_in_winter_and_in_summer() {
        let friday = |start, end| {
            let day = |time| format!("2026-03-27T{time}:00Z");
            is_working_time(BERLIN, span(&day(start), &day(end)))
        };
        assert!(friday("08:00", "16:00"));
        assert!(!friday("07:55", "08:30") && !friday("15:30", "16:05"));
        // Two days later the clocks went forward.
        assert!(is_working_time(
            BERLIN,
            span("2026-03-30T07:00:00Z", "2026-03-30T15:00:00Z")
        ));
        assert!(!is_working_time(
            BERLIN,
            span("2026-03-30T14:30:00Z", "2026-03-30T15:30:00Z")
        ));
        // A Sunday, and a night's work.
        assert!(!is_working_time(
            BERLIN,
            span("2026-03-29T10:00:00Z", "2026-03-29T11:00:00Z")
        ));
        assert!(!is_working_time(
            BERLIN,
            span("2026-03-26T15:00:00Z", "2026-03-27T09:00:00Z")
        ));
    }

    #[test]
    fn next_free_time_is_after_what_is_there_with_a_pause_and_within_a_working_day() {
        let found = |busy: &[Span], now: &str, minutes| {
            next_free(BERLIN, busy, at(now), TimeDelta::minutes(minutes))
                .map(|span| span.start().to_rfc3339())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found(&[], "2026-03-27T09:01:10Z", 30),
            some("2026-03-27T09:05:00+00:00")
        );
        let busy = [
            span("2026-03-27T10:00:00Z", "2026-03-27T15:00:00Z"),
            span("2026-03-27T09:00:00Z", "2026-03-27T09:30:00Z"),
        ];
        assert_eq!(
            found(&busy, "2026-03-27T09:00:00Z", 25),
            some("2026-03-27T09:35:00+00:00")
        );
        assert_eq!(
            found(&busy, "2026-03-27T09:00:00Z", 30),
            some("2026-03-27T15:05:00+00:00")
        );
        // Over the weekend, in which the clocks went forward.
        assert_eq!(
            found(&busy, "2026-03-27T09:00:00Z", 60),
            some("2026-03-30T07:00:00+00:00")
        );
        assert_eq!(
            found(&[], "2026-03-27T18:00:00Z", 8 * 60),
            some("2026-03-30T07:00:00+00:00")
        );
        assert_eq!(found(&[], "2026-03-27T09:00:00Z", 8 * 60 + 1), None);
    }
}
