//! Blocks of a user's day: their kinds, [`Status`] and its [`Step`]s, and the time they take ([`Span`]). See [`hours`]
//! for the working day.

pub mod hours;

use super::time::is_writable;
use base::str_enum;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The longest title, in characters.
pub const MAX_TITLE: usize = 200;
/// The longest block.
const MAX_LENGTH: TimeDelta = TimeDelta::days(1);

str_enum! {
    /// The purpose of a block.
    BlockKind {
        Focus = "focus",
        Admin = "admin",
        Meeting = "meeting",
        Break = "break",
        Travel = "travel",
        Buffer = "buffer",
    }
}

str_enum! {
    /// Who proposed a block.
    BlockSource {
        Assistant = "assistant",
        User = "user",
    }
}

str_enum! {
    /// The status of a block. Accepted and booked blocks of one user never overlap.
    #[schemars(rename = "BlockStatus")]
    Status {
        Proposed = "proposed",
        Accepted = "accepted",
        /// It is in the user's calendar.
        Booked = "booked",
        /// Another event took its time; it needs a new one.
        Conflicted = "conflicted",
        Rejected = "rejected",
        /// Its time passed before a decision.
        Expired = "expired",
        /// Another plan was accepted instead.
        Superseded = "superseded",
        Cancelled = "cancelled",
    }
}

/// A step in the life of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Accept,
    Reject,
    Expire,
    Supersede,
    /// Its calendar event was created.
    Book,
    /// Its calendar event changed.
    Conflict,
    /// Its content or time was changed.
    Change,
    Cancel,
}

/// The state does not allow the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} a block that is {status}", step.verb())]
pub struct Refused {
    pub status: Status,
    pub step: Step,
}

impl Step {
    pub const ALL: [Self; 8] = [
        Self::Accept,
        Self::Reject,
        Self::Expire,
        Self::Supersede,
        Self::Book,
        Self::Conflict,
        Self::Change,
        Self::Cancel,
    ];

    /// The verb for messages.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Expire => "expire",
            Self::Supersede => "supersede",
            Self::Book => "book",
            Self::Conflict => "displace",
            Self::Change => "change",
            Self::Cancel => "cancel",
        }
    }
}

impl Status {
    /// Returns the status after the step.
    ///
    /// # Errors
    /// If this status does not allow it; the refusal names the status.
    pub const fn after(self, step: Step) -> Result<Self, Refused> {
        Ok(match (self, step) {
            (Self::Proposed, Step::Accept) => Self::Accepted,
            (Self::Proposed, Step::Reject) => Self::Rejected,
            (Self::Proposed | Self::Conflicted, Step::Expire) => Self::Expired,
            (Self::Proposed, Step::Supersede) => Self::Superseded,
            (Self::Proposed | Self::Conflicted, Step::Change) => Self::Proposed,
            (Self::Accepted, Step::Book) => Self::Booked,
            (Self::Accepted, Step::Conflict) => Self::Conflicted,
            (Self::Accepted | Self::Booked | Self::Conflicted, Step::Cancel) => Self::Cancelled,
            (status, step) => return Err(Refused { status, step }),
        })
    }
}

/// A time span, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

/// Not a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the end must lie after the start, by a day at most")]
pub struct NoSpan;

impl Span {
    /// # Errors
    /// If it ends before it starts, lasts longer than a day, or lies outside of the years 1 to 9999.
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Result<Self, NoSpan> {
        let written = is_writable(&start) && is_writable(&end);
        let fits = written && start < end && end - start <= MAX_LENGTH;
        fits.then_some(Self { start, end }).ok_or(NoSpan)
    }

    pub const fn start(self) -> DateTime<Utc> {
        self.start
    }

    pub const fn end(self) -> DateTime<Utc> {
        self.end
    }

    /// Whether the spans overlap; one may begin when the other ends.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_from_every_state_is_in_this_table_or_refused_with_the_state() {
        let allowed = [
            ("proposed", "accept", "accepted"),
            ("proposed", "reject", "rejected"),
            ("proposed", "expire", "expired"),
            ("proposed", "supersede", "superseded"),
            ("proposed", "change", "proposed"),
            ("accepted", "book", "booked"),
            ("accepted", "displace", "conflicted"),
            ("accepted", "cancel", "cancelled"),
            ("booked", "cancel", "cancelled"),
            ("conflicted", "cancel", "cancelled"),
            ("conflicted", "change", "proposed"),
            ("conflicted", "expire", "expired"),
        ];
        for status in Status::ALL.iter().copied() {
            for step in Step::ALL {
                let expected = allowed
                    .iter()
                    .find(|(from, verb, _)| *from == status.as_str() && *verb == step.verb())
                    .map(|(.., to)| *to);
                let got = status.after(step).map(Status::as_str);
                assert_eq!(got.ok(), expected, "{status} {step:?}");
            }
        }
    }

    #[test]
    fn span_has_a_length_and_may_touch_its_neighbour() {
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let span = |from, to| Span::new(at(from), at(to));
        for (from, to) in [(0, 0), (10, 0), (0, 24 * 60 + 1)] {
            assert_eq!(span(from, to), Err(NoSpan), "{from} {to}");
        }
        let hour = span(0, 60).unwrap();
        assert!(!hour.overlaps(span(60, 90).unwrap()));
        assert!(hour.overlaps(span(59, 90).unwrap()));
        assert!(hour.overlaps(span(-60, 1440 - 60).unwrap()));
    }
}
