//! [`EventId`]: the position of an event in its job's log, as clients send it back.

use std::{fmt, str::FromStr};

/// Sorts in the order of the events: by attempt, then by phase, then by a number within the phase.
///
/// The phases: 0 created, 1 attempt started, 2 events of the running attempt, 3 attempt ended, 4 job finished or retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    pub(super) attempt: i32,
    pub(super) rank: i32,
    pub(super) seq: i32,
}

/// The text is not an event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event id is three whole numbers separated by dots")]
pub struct NotAnEventId;

impl EventId {
    pub(super) const BEFORE_ALL: Self = Self {
        attempt: -1,
        rank: 0,
        seq: 0,
    };

    /// The attempt of the event; 0 before the first.
    pub fn attempt(self) -> i32 {
        self.attempt
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.attempt, self.rank, self.seq)
    }
}

impl FromStr for EventId {
    type Err = NotAnEventId;

    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        let numbers: Vec<i32> = text
            .split('.')
            .map(number)
            .collect::<Option<_>>()
            .ok_or(NotAnEventId)?;
        match numbers[..] {
            [attempt, rank, seq] => Ok(Self { attempt, rank, seq }),
            _ => Err(NotAnEventId),
        }
    }
}

/// Parses a number only as [`EventId`] writes it: no sign, no leading zeros.
fn number(digits: &str) -> Option<i32> {
    let number: i32 = digits.parse().ok()?;
    (number.to_string() == digits && number >= 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_id_parses_only_as_it_is_written() {
        for good in ["0.0.0", "1.2.30", "2147483647.4.1"] {
            assert_eq!(good.parse::<EventId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.2.x",
            "-1.0.0",
            "+1.0.0",
            "01.0.0",
            "1.0. 1",
            "2147483648.0.0",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(NotAnEventId), "{bad}");
        }
    }

    #[test]
    fn event_ids_sort_by_number_and_not_by_letter() {
        let id = |text: &str| text.parse::<EventId>().unwrap();
        assert!(
            id("2.4.1") < id("10.0.0")
                && id("1.2.9") < id("1.2.10")
                && EventId::BEFORE_ALL < id("0.0.0")
        );
    }
}
