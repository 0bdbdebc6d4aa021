//! The digest of a user's day: when it is due ([`latest`], [`next`]) and what it says ([`Contents`]). Pure.

use super::draft::send_at::local;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use std::fmt::Write as _;

/// Emails that a digest names; the others are counted.
pub const ENTRIES: usize = 50;
/// Approvals and inbox items that a digest names; the others are counted.
pub const NAMED: usize = 5;

/// Returns the day whose digest is the newest that is due at `now`: today's from `at` on, before that yesterday's.
pub fn latest(zone: Tz, at: NaiveTime, now: DateTime<Utc>) -> NaiveDate {
    let today = now.with_timezone(&zone).date_naive();
    match local(zone, today, at) <= now {
        true => today,
        false => today - Days::new(1),
    }
}

/// Returns the first moment after `now` at which it is `at` in `zone`. On the day of a clock change, a time that is skipped is
/// the end of the gap, and one that comes twice the first of the two.
pub fn next(zone: Tz, at: NaiveTime, now: DateTime<Utc>) -> DateTime<Utc> {
    let day = latest(zone, at, now) + Days::new(1);
    let moment = local(zone, day, at);
    // Where a whole day is skipped, two days have the same moment.
    match moment > now {
        true => moment,
        false => local(zone, day + Days::new(1), at),
    }
}

/// An email that was added to the digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub title: String,
    pub note: Option<String>,
}

/// Things of one kind: the first ones by title, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub titles: Vec<String>,
    pub count: i64,
}

/// What a digest reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The emails since the last digest, oldest first, at most [`ENTRIES`].
    pub entries: Vec<Entry>,
    pub entry_count: i64,
    /// Approvals that wait for a decision.
    pub decisions: Listed,
    /// Open items of the inbox.
    pub inbox: Listed,
    /// Emails of the user that wait for an answer.
    pub follow_ups: i64,
}

impl Contents {
    /// Whether there is nothing to report. Emails that wait for an answer need nothing from the user.
    pub fn is_empty(&self) -> bool {
        self.entry_count == 0 && self.decisions.count == 0 && self.inbox.count == 0
    }

    /// Renders the digest as plain text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.entry_count > 0 {
            let lines = self.entries.iter().map(|entry| match &entry.note {
                Some(note) => format!("{}: {note}", entry.title),
                None => entry.title.clone(),
            });
            section(&mut text, "Emails for this digest", self.entry_count, lines);
        }
        for (heading, listed) in [
            ("Waiting for your decision", &self.decisions),
            ("In your inbox", &self.inbox),
        ] {
            if listed.count > 0 {
                section(
                    &mut text,
                    heading,
                    listed.count,
                    listed.titles.iter().cloned(),
                );
            }
        }
        if self.follow_ups > 0 {
            let _ = writeln!(
                text,
                "Your emails that wait for an answer: {}",
                self.follow_ups
            );
        }
        text.trim_end().to_owned()
    }
}

/// Returns the title of the digest of a day, which is also the subject of its email.
pub fn title(day: NaiveDate) -> String {
    format!("Your digest of {}", day.format("%A, %-d %B %Y"))
}

fn section(text: &mut String, heading: &str, count: i64, lines: impl Iterator<Item = String>) {
    let _ = writeln!(text, "{heading}: {count}");
    let mut shown = 0;
    for line in lines {
        let _ = writeln!(text, "- {line}");
        shown += 1;
    }
    if count > shown {
        let _ = writeln!(text, "- and {} more", count - shown);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn time(text: &str) -> NaiveTime {
        NaiveTime::parse_from_str(text, "%H:%M").unwrap()
    }

    #[test]
    fn digest_comes_at_the_user_s_hour_on_both_sides_of_a_change_of_the_clocks() {
        let berlin = Tz::Europe__Berlin;
        for (at_local, now, expected) in [
            ("07:30", "2026-11-23T05:00:00Z", "2026-11-23T06:30:00Z"),
            ("07:30", "2026-11-23T06:30:00Z", "2026-11-24T06:30:00Z"),
            // The night of 29 March has no 02:30, and that of 25 October has two.
            ("07:30", "2026-03-28T06:30:00Z", "2026-03-29T05:30:00Z"),
            ("02:30", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"),
            ("02:30", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
            ("02:30", "2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z"),
            ("02:30", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            ("02:30", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"),
        ] {
            assert_eq!(
                next(berlin, time(at_local), at(now)),
                at(expected),
                "{at_local} {now}"
            );
        }
    }

    #[test]
    fn digest_is_that_of_the_user_s_day() {
        let auckland = Tz::Pacific__Auckland;
        let day = |now| latest(auckland, time("08:00"), at(now)).to_string();
        assert_eq!(day("2026-11-22T18:59:00Z"), "2026-11-22");
        assert_eq!(day("2026-11-22T19:00:00Z"), "2026-11-23");
    }

    #[test]
    fn digest_names_what_is_new_and_counts_the_rest() {
        let listed = |count, titles: &[&str]| Listed {
            titles: titles.iter().map(|title| (*title).to_owned()).collect(),
            count,
        };
        let contents = Contents {
            entries: vec![
                Entry {
                    title: "Newsletter".into(),
                    note: None,
                },
                Entry {
                    title: "Minutes".into(),
                    note: Some("page 2".into()),
                },
            ],
            entry_count: 2,
            decisions: listed(7, &["Send a draft"]),
            inbox: Listed::default(),
            follow_ups: 1,
        };
        assert_eq!(
            contents.text(),
            "Emails for this digest: 2\n- Newsletter\n- Minutes: page 2\n\nWaiting for your decision: 7\n- Send a draft\n\
             - and 6 more\n\nYour emails that wait for an answer: 1"
        );
        assert!(
            !contents.is_empty()
                && Contents {
                    follow_ups: 1,
                    ..Contents::default()
                }
                .is_empty()
        );
        assert_eq!(
            title("2026-11-03".parse().unwrap()),
            "Your digest of Tuesday, 3 November 2026"
        );
    }

    const ZONES: [Tz; 7] = [
        Tz::UTC,
        Tz::Europe__Berlin,
        Tz::America__New_York,
        Tz::America__St_Johns,
        Tz::Australia__Lord_Howe,
        Tz::Pacific__Apia,
        Tz::Pacific__Chatham,
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// Any minute from 2010 on, so that Samoa's skipped day is among them.
        #[test]
        fn each_day_has_one_digest(
            zone in prop::sample::select(&ZONES[..]),
            minutes in 0_i64..10_000_000,
            minute_of_day in 0_u32..1_440,
        ) {
            let start: DateTime<Utc> = "2010-01-01T00:00:00Z".parse().unwrap();
            let now = start + chrono::TimeDelta::minutes(minutes);
            let at = NaiveTime::from_num_seconds_from_midnight_opt(minute_of_day * 60, 0).unwrap();
            let coming = next(zone, at, now);
            prop_assert!(coming > now && coming - now <= chrono::TimeDelta::hours(49), "{now} {coming}");
            let day = latest(zone, at, coming);
            prop_assert!(day > latest(zone, at, now), "{day}");
            prop_assert_eq!(latest(zone, at, coming - chrono::TimeDelta::seconds(1)), latest(zone, at, now));
        }
    }
}
