//! [`EventId`]: the place of an event in its job's log, as clients hand it back.

use std::{fmt, str::FromStr};

/// Sorts as the events happened: by attempt, then the part of an attempt's life, then a number within that part.
///
/// The parts: 0 created, 1 the attempt started, 2 what was noted while it ran, 3 it ended, 4 the job's end and its return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    pub(super) attempt: i32,
    pub(super) rank: i32,
    pub(super) seq: i32,
}

/// A text that is no event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event id is three whole numbers with dots between")]
pub struct NotAnEventId;

impl EventId {
    pub(super) const BEFORE_ALL: Self = Self {
        attempt: -1,
        rank: 0,
        seq: 0,
    };

    /// The attempt it belongs to; 0 before the first.
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

/// Digits as we would write them ourselves.
fn number(digits: &str) -> Option<i32> {
    let number: i32 = digits.parse().ok()?;
    (number.to_string() == digits && number >= 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_nothing_else_is() {
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
    fn ids_sort_by_number_and_not_by_letter() {
        let id = |text: &str| text.parse::<EventId>().unwrap();
        assert!(
            id("2.4.1") < id("10.0.0")
                && id("1.2.9") < id("1.2.10")
                && EventId::BEFORE_ALL < id("0.0.0")
        );
    }
}
