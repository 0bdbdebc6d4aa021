//! Litter: index entries of jobs that are gone, which vacuum may not remove while an older transaction is open.
//!
//! A look from the start of an index steps over all of them at 1.5 µs each: at 20,000 jobs a second that is a statement
//! timeout's worth within minutes, and the worker would find nothing any more. The table itself is read at a tenth of that,
//! for its dead rows lie together by the page; and what was written last lies at its end. So amid litter the table is
//! surveyed instead: see [`Survey`].

use sqlx::PgPool;
use std::{
    ops::Range,
    time::{Duration, Instant},
};

/// A look that takes no longer may be had at any time.
const CHEAP: Duration = Duration::from_millis(50);
/// A look that takes longer is cut off: whoever claims is waiting for it.
pub(super) const TRIAL: Duration = Duration::from_millis(200);
/// Each way of looking that is not cheap has a twentieth of the time at most.
const SHARE: u32 = 20;
/// … and is had this often at most.
const CLOSEST: Duration = Duration::from_millis(100);

/// Whether a look that took so long may be had at any time.
pub fn is_cheap(took: Duration) -> bool {
    took <= CHEAP
}

/// How long to rest after a look that took so long.
pub fn rest(took: Duration) -> Duration {
    CLOSEST.max(took * SHARE)
}

/// The blocks of the table that the smallest look at its end goes through, about 1 ms; every second look goes through
/// twice as many, every fourth through four times as many, and so on up to 32 times: a row is found after about as long as it
/// takes until it lies so far back.
const NEAR: u64 = 256;
const DOUBLED: u32 = 5;
/// The first stride; the next ones are as long as about a half of [`CHEAP`] lasts.
const STRIDE: u64 = 1024;

/// Where to look in the table next: often at its end, and stride by stride through all of it, from the end to its start.
#[derive(Debug, Default)]
pub struct Survey {
    /// When the end of the table is looked at next, and when the next stride is made; `None` is now.
    near: Option<Instant>,
    far: Option<Instant>,
    looks: u32,
    /// Where the last stride began.
    reached: Option<u64>,
    stride: Option<u64>,
    /// How often the table was gone through.
    rounds: u32,
}

/// A part of the table that is due to be looked at.
#[derive(Debug)]
pub struct Stretch {
    pub blocks: Range<u64>,
    far: bool,
}

impl Survey {
    /// How long nothing needs to be looked at.
    pub fn put_off(&self) -> Duration {
        let now = Instant::now();
        let left = |due: Option<Instant>| {
            due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
        };
        left(self.near).min(left(self.far))
    }

    /// How often the table was gone through from its end to its start.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// What is due in a table of so many blocks, if anything is.
    pub fn next(&mut self, table: u64) -> Option<Stretch> {
        let now = Instant::now();
        let is_due = |due: Option<Instant>| due.is_none_or(|due| due <= now);
        if is_due(self.near) {
            self.looks = self.looks.wrapping_add(1);
            let doubled = self.looks.trailing_zeros().min(DOUBLED);
            let from = table.saturating_sub(NEAR << doubled);
            return Some(Stretch {
                blocks: from..u64::MAX,
                far: false,
            });
        }
        is_due(self.far).then(|| {
            let end = self.reached.filter(|end| *end > 0).unwrap_or(table);
            let start = end.saturating_sub(self.stride.unwrap_or(STRIDE));
            Stretch {
                blocks: start..end,
                far: true,
            }
        })
    }

    /// Takes in that it was looked at: in so long, and with as much found as was asked for or not. A look that brought that
    /// much has paid for itself and is had again at once.
    pub fn looked(&mut self, at: &Stretch, took: Duration, brought_enough: bool) {
        let next = (!brought_enough).then(|| Instant::now() + rest(took));
        if !at.far {
            self.near = next;
            return;
        }
        self.far = next;
        if brought_enough {
            return;
        }
        self.reached = Some(at.blocks.start);
        if at.blocks.start == 0 {
            self.rounds = self.rounds.saturating_add(1);
        }
        let stride = self.stride.unwrap_or(STRIDE);
        self.stride = Some(if took > CHEAP {
            (stride / 2).max(NEAR)
        } else if took < CHEAP / 4 {
            stride * 2
        } else {
            stride
        });
    }

    /// Takes in that a look was cut off or failed: the next stride is shorter.
    pub fn failed(&mut self, at: &Stretch, took: Duration) {
        if at.far {
            self.far = Some(Instant::now() + rest(took));
            self.stride = Some((self.stride.unwrap_or(STRIDE) / 4).max(NEAR));
        } else {
            self.near = Some(Instant::now() + rest(took));
        }
    }
}

/// How many blocks the table of waiting and running jobs has.
pub(super) async fn table_blocks(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let blocks = sqlx::query_scalar!(
        r#"select pg_relation_size('jobs') / current_setting('block_size')::bigint as "blocks!""#
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(blocks).unwrap_or_default())
}

impl Stretch {
    pub(super) fn start(&self) -> i64 {
        block(self.blocks.start)
    }

    pub(super) fn end(&self) -> i64 {
        block(self.blocks.end)
    }
}

/// As Postgres counts them: with 32 bits. What lies beyond is the end of any table.
fn block(number: u64) -> i64 {
    i64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);

    /// The stretch that is due; its kind is made due first.
    fn next(survey: &mut Survey, far: bool, table: u64) -> Stretch {
        let later = Some(Instant::now() + Duration::from_secs(60));
        (survey.near, survey.far) = if far { (later, None) } else { (None, later) };
        survey.next(table).expect("due")
    }

    #[test]
    fn strides_go_through_every_block_and_then_begin_again() {
        let mut survey = Survey::default();
        let table = 100_000;
        let mut end = table;
        while survey.rounds() == 0 {
            let stretch = next(&mut survey, true, table + 7);
            assert_eq!(
                stretch.blocks.end,
                if end == table { table + 7 } else { end }
            );
            end = stretch.blocks.start;
            survey.looked(&stretch, QUICK, false);
        }
        assert_eq!(end, 0);
        assert_eq!(next(&mut survey, true, table).blocks.end, table);
    }

    #[test]
    fn stride_that_takes_long_makes_the_next_one_shorter_and_one_that_failed_is_made_again() {
        let mut survey = Survey::default();
        let length = |stretch: &Stretch| stretch.blocks.end - stretch.blocks.start;
        let first = next(&mut survey, true, 1_000_000);
        survey.looked(&first, CHEAP * 2, false);
        let second = next(&mut survey, true, 1_000_000);
        assert_eq!(length(&second), length(&first) / 2);
        survey.failed(&second, CHEAP * 100);
        let third = next(&mut survey, true, 1_000_000);
        assert_eq!(third.blocks.end, second.blocks.end);
        assert!(length(&third) < length(&second));
    }

    #[test]
    fn end_of_the_table_is_looked_at_further_back_the_more_seldom() {
        let mut survey = Survey::default();
        let mut reach = || {
            let stretch = next(&mut survey, false, 1_000_000);
            survey.looked(&stretch, QUICK, false);
            (1_000_000 - stretch.blocks.start) / NEAR
        };
        let reaches: Vec<u64> = (0..8).map(|_| reach()).collect();
        assert_eq!(reaches, [1, 2, 1, 4, 1, 2, 1, 8]);
    }

    #[test]
    fn look_that_brought_enough_is_had_again_at_once_and_any_other_after_a_rest() {
        let mut survey = Survey::default();
        for far in [false, true] {
            let stretch = next(&mut survey, far, 10);
            survey.looked(&stretch, CHEAP, true);
            assert_eq!(survey.put_off(), Duration::ZERO);
            let stretch = next(&mut survey, far, 10);
            survey.looked(&stretch, CHEAP, false);
            assert!(survey.put_off() > CHEAP * (SHARE - 1));
        }
    }
}
