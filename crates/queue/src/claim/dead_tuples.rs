//! Scans of the `jobs` table by block range, for the time while vacuum is blocked: [`TableScan`].
//!
//! A long-running transaction keeps vacuum from removing dead tuples, and an index scan from the start steps over each of
//! them at 1.5 µs. At 20,000 jobs a second that reaches the statement timeout within minutes, and claims would find nothing.
//! A sequential read of the table costs a tenth of that, because dead rows share pages, and new rows lie at its end.

use sqlx::PgPool;
use std::{
    ops::Range,
    time::{Duration, Instant},
};

/// A scan that takes no longer may run at any time.
const CHEAP: Duration = Duration::from_millis(50);
/// The statement timeout of a claim that scans the index from its start: its worker is waiting for jobs.
pub(super) const INDEX_SCAN_TIMEOUT: Duration = Duration::from_millis(200);
/// A kind of scan that is not cheap takes at most a twentieth of the time.
const REST_FACTOR: u32 = 20;
/// The shortest rest between two scans of a kind.
const MIN_REST: Duration = Duration::from_millis(100);

/// Whether a scan of this duration may run at any time.
pub fn is_cheap(took: Duration) -> bool {
    took <= CHEAP
}

/// Returns how long to rest after a scan of this duration.
pub fn rest(took: Duration) -> Duration {
    MIN_REST.max(took * REST_FACTOR)
}

/// Blocks in the smallest scan of the table's tail, about 1 ms. Every second scan reads twice as many, every fourth four
/// times as many, up to 32 times: the farther back a row lies, the longer it may have waited already.
const TAIL_BLOCKS: u64 = 256;
const MAX_TAIL_DOUBLINGS: u32 = 5;
/// Blocks of the first stride. Later strides adapt so that each takes about half of [`CHEAP`].
const FIRST_STRIDE: u64 = 1024;

/// The schedule of block-range scans: frequent scans of the table's tail, and strides through all of it from end to start.
#[derive(Debug, Default)]
pub struct TableScan {
    /// When the next scan of the tail and the next stride are due; `None` is now.
    tail_due: Option<Instant>,
    stride_due: Option<Instant>,
    tail_scans: u32,
    /// The first block of the last stride.
    reached: Option<u64>,
    stride: Option<u64>,
    /// Completed passes through the whole table.
    rounds: u32,
}

/// A range of blocks whose scan is due.
#[derive(Debug)]
pub struct BlockRange {
    pub blocks: Range<u64>,
    is_stride: bool,
}

impl TableScan {
    /// Returns the time until the next scan is due.
    pub fn due_in(&self) -> Duration {
        let now = Instant::now();
        let left = |due: Option<Instant>| {
            due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
        };
        left(self.tail_due).min(left(self.stride_due))
    }

    /// Counts the completed passes through the whole table.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Returns the range that is due in a table of `table_blocks` blocks, if any is.
    pub fn next(&mut self, table_blocks: u64) -> Option<BlockRange> {
        let now = Instant::now();
        let is_due = |due: Option<Instant>| due.is_none_or(|due| due <= now);
        if is_due(self.tail_due) {
            self.tail_scans = self.tail_scans.wrapping_add(1);
            let doublings = self.tail_scans.trailing_zeros().min(MAX_TAIL_DOUBLINGS);
            let from = table_blocks.saturating_sub(TAIL_BLOCKS << doublings);
            return Some(BlockRange {
                blocks: from..u64::MAX,
                is_stride: false,
            });
        }
        is_due(self.stride_due).then(|| {
            let end = self.reached.filter(|end| *end > 0).unwrap_or(table_blocks);
            let start = end.saturating_sub(self.stride.unwrap_or(FIRST_STRIDE));
            BlockRange {
                blocks: start..end,
                is_stride: true,
            }
        })
    }

    /// Records a completed scan. One that found as many rows as it was asked for has paid for itself and is repeated at
    /// once.
    pub fn completed(&mut self, range: &BlockRange, took: Duration, found_enough: bool) {
        let next = (!found_enough).then(|| Instant::now() + rest(took));
        if !range.is_stride {
            self.tail_due = next;
            return;
        }
        self.stride_due = next;
        if found_enough {
            return;
        }
        self.reached = Some(range.blocks.start);
        if range.blocks.start == 0 {
            self.rounds = self.rounds.saturating_add(1);
        }
        let stride = self.stride.unwrap_or(FIRST_STRIDE);
        self.stride = Some(if took > CHEAP {
            (stride / 2).max(TAIL_BLOCKS)
        } else if took < CHEAP / 4 {
            stride * 2
        } else {
            stride
        });
    }

    /// Records a scan that timed out or failed: the next stride is shorter.
    pub fn failed(&mut self, range: &BlockRange, took: Duration) {
        if range.is_stride {
            self.stride_due = Some(Instant::now() + rest(took));
            self.stride = Some((self.stride.unwrap_or(FIRST_STRIDE) / 4).max(TAIL_BLOCKS));
        } else {
            self.tail_due = Some(Instant::now() + rest(took));
        }
    }
}

/// Returns the size of the `jobs` table in blocks.
pub(super) async fn table_blocks(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let blocks = sqlx::query_scalar!(
        r#"select pg_relation_size('jobs') / current_setting('block_size')::bigint as "blocks!""#
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(blocks).unwrap_or_default())
}

impl BlockRange {
    pub(super) fn start(&self) -> i64 {
        block(self.blocks.start)
    }

    pub(super) fn end(&self) -> i64 {
        block(self.blocks.end)
    }
}

/// Postgres numbers blocks with 32 bits; a larger number lies past the end of any table.
fn block(number: u64) -> i64 {
    i64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);

    /// Returns the next stride, or the next range at the tail, by making that kind due first.
    fn next(scan: &mut TableScan, is_stride: bool, table: u64) -> BlockRange {
        let later = Some(Instant::now() + Duration::from_secs(60));
        (scan.tail_due, scan.stride_due) = if is_stride {
            (later, None)
        } else {
            (None, later)
        };
        scan.next(table).expect("due")
    }

    #[test]
    fn strides_pass_through_every_block_and_start_again() {
        let mut scan = TableScan::default();
        let table = 100_000;
        let mut end = table;
        while scan.rounds() == 0 {
            let range = next(&mut scan, true, table + 7);
            assert_eq!(range.blocks.end, if end == table { table + 7 } else { end });
            end = range.blocks.start;
            scan.completed(&range, QUICK, false);
        }
        assert_eq!(end, 0);
        assert_eq!(next(&mut scan, true, table).blocks.end, table);
    }

    #[test]
    fn stride_is_shorter_after_a_slow_one_and_repeated_after_a_failed_one() {
        let mut scan = TableScan::default();
        let length = |range: &BlockRange| range.blocks.end - range.blocks.start;
        let first = next(&mut scan, true, 1_000_000);
        scan.completed(&first, CHEAP * 2, false);
        let second = next(&mut scan, true, 1_000_000);
        assert_eq!(length(&second), length(&first) / 2);
        scan.failed(&second, CHEAP * 100);
        let third = next(&mut scan, true, 1_000_000);
        assert_eq!(third.blocks.end, second.blocks.end);
        assert!(length(&third) < length(&second));
    }

    #[test]
    fn tail_scans_reach_farther_back_less_often() {
        let mut scan = TableScan::default();
        let mut reach = || {
            let range = next(&mut scan, false, 1_000_000);
            scan.completed(&range, QUICK, false);
            (1_000_000 - range.blocks.start) / TAIL_BLOCKS
        };
        let reaches: Vec<u64> = (0..8).map(|_| reach()).collect();
        assert_eq!(reaches, [1, 2, 1, 4, 1, 2, 1, 8]);
    }

    #[test]
    fn scan_that_found_enough_is_repeated_at_once_and_any_other_after_a_rest() {
        let mut scan = TableScan::default();
        for is_stride in [false, true] {
            let range = next(&mut scan, is_stride, 10);
            scan.completed(&range, CHEAP, true);
            assert_eq!(scan.due_in(), Duration::ZERO);
            let range = next(&mut scan, is_stride, 10);
            scan.completed(&range, CHEAP, false);
            assert!(scan.due_in() > CHEAP * (REST_FACTOR - 1));
        }
    }
}
