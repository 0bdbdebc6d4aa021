//! Deletes old rows block range by block range: [`prune`].
//!
//! A search for the oldest rows through an index passes all those that were deleted before and not vacuumed yet, so each
//! batch of a large backlog costs more than the last. Rows are appended by time, so old ones lie together: the walk begins
//! at the first and ends some way after the last.

use super::Backlog;
use async_trait::async_trait;
use base::db::is_statement_timeout;
use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A table whose old rows are deleted.
#[async_trait]
pub trait AgedTable: Send + Sync {
    /// Returns the size of the table in blocks.
    async fn blocks(&self) -> Result<u64, sqlx::Error>;

    /// Returns the block of the first old row; `None` if there is none. May reach the statement timeout.
    async fn first_aged_block(&self) -> Result<Option<u64>, sqlx::Error>;

    /// Deletes the old rows in a range of blocks and returns how many.
    async fn prune(&self, blocks: Range<u64>) -> Result<u64, sqlx::Error>;
}

/// Blocks of the first batch: some thousand rows.
const FIRST_STRIDE: u64 = 128;
const SHORTEST_STRIDE: u64 = 8;
const LONGEST_STRIDE: u64 = 16_384;
/// The duration of a batch to which the stride adapts: long enough to be efficient, short enough not to be felt.
const BATCH: Duration = Duration::from_millis(200);
/// Blocks without an old row after which the walk looks whether there are any more.
const EMPTY_BLOCKS: u64 = 4096;

/// Where the last run ended for lack of time, for tables in which the search for old rows takes too long.
#[derive(Debug, Default)]
pub struct WalkPosition(AtomicU64);

/// What a run has deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    pub rows: u64,
    pub backlog: Backlog,
}

/// Deletes old rows for at most `budget`.
///
/// # Errors
/// If the database fails; what was deleted before stays deleted.
pub async fn prune(
    table: &dyn AgedTable,
    budget: Duration,
    position: &WalkPosition,
) -> Result<Pruned, sqlx::Error> {
    let started = Instant::now();
    let mut rows = 0;
    let none_left = |rows| Pruned {
        rows,
        backlog: Backlog::None,
    };
    let resumed = position.0.swap(0, Ordering::Relaxed);
    let Some(mut next) = first_aged_block(table, resumed).await? else {
        return Ok(none_left(rows));
    };
    let end = table.blocks().await?;
    let mut stride = FIRST_STRIDE;
    let mut empty = 0;
    while next < end {
        if started.elapsed() > budget {
            position.0.store(next, Ordering::Relaxed);
            return Ok(Pruned {
                rows,
                backlog: Backlog::Some,
            });
        }
        let blocks = next..(next + stride).min(end);
        let batch = Instant::now();
        let found = match table.prune(blocks.clone()).await {
            Err(error) if is_statement_timeout(&error) && stride > SHORTEST_STRIDE => {
                stride = (stride / 8).max(SHORTEST_STRIDE);
                continue;
            }
            found => found?,
        };
        rows += found;
        empty = if found == 0 { empty + stride } else { 0 };
        next = blocks.end;
        stride = adapted(stride, batch.elapsed());
        if empty >= EMPTY_BLOCKS {
            match first_aged_block(table, next).await? {
                // A row before this point became old meanwhile; the next run deletes it.
                Some(block) => next = next.max(block),
                None => return Ok(none_left(rows)),
            }
            empty = 0;
        }
    }
    Ok(none_left(rows))
}

/// Returns the block of the first old row, or `or_else` if the search for it takes too long.
async fn first_aged_block(table: &dyn AgedTable, or_else: u64) -> Result<Option<u64>, sqlx::Error> {
    match table.first_aged_block().await {
        Err(error) if is_statement_timeout(&error) => Ok(Some(or_else)),
        found => found,
    }
}

fn adapted(stride: u64, took: Duration) -> u64 {
    if took > BATCH * 2 {
        (stride / 2).max(SHORTEST_STRIDE)
    } else if took < BATCH / 2 {
        (stride * 2).min(LONGEST_STRIDE)
    } else {
        stride
    }
}

/// Postgres numbers blocks with 32 bits; a larger number lies past the end of any table.
pub fn block_number(block: u64) -> i64 {
    i64::from(u32::try_from(block).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A table with one row per block, old or not.
    struct Blocks(Mutex<Vec<bool>>);

    #[async_trait]
    impl AgedTable for Blocks {
        async fn blocks(&self) -> Result<u64, sqlx::Error> {
            Ok(self.0.lock().unwrap().len() as u64)
        }

        async fn first_aged_block(&self) -> Result<Option<u64>, sqlx::Error> {
            let first = self.0.lock().unwrap().iter().position(|aged| *aged);
            Ok(first.map(|block| block as u64))
        }

        async fn prune(&self, blocks: Range<u64>) -> Result<u64, sqlx::Error> {
            let mut table = self.0.lock().unwrap();
            let range =
                usize::try_from(blocks.start).unwrap()..usize::try_from(blocks.end).unwrap();
            let aged = table[range.clone()].iter().filter(|aged| **aged).count();
            table[range].fill(false);
            Ok(aged as u64)
        }
    }

    #[tokio::test]
    async fn old_rows_are_deleted_wherever_they_lie() {
        let mut rows = vec![false; 50_000];
        for block in [0, 1, 700, 20_000, 49_999] {
            rows[block] = true;
        }
        let table = Blocks(Mutex::new(rows));
        let position = WalkPosition::default();
        let result = prune(&table, Duration::from_secs(60), &position).await;
        let result = result.unwrap();
        assert_eq!((result.rows, result.backlog), (5, Backlog::None));
    }

    #[tokio::test]
    async fn run_ends_when_its_time_is_up_and_says_that_rows_are_left() {
        let table = Blocks(Mutex::new(vec![true; 1000]));
        let position = WalkPosition::default();
        let left = prune(&table, Duration::ZERO, &position).await.unwrap();
        assert_eq!(left.backlog, Backlog::Some);
    }
}
