//! Claims that continue where the last one ended, while more jobs wait than fit into one claim.
//!
//! The index keeps an entry of every claimed job until vacuum removes it, which it cannot do while any older transaction is
//! open. A claim that scans from the start steps over all of them: a fifth of its time at 100,000 jobs, nearly all of it
//! while a transaction is open for minutes. See [`resume_claim`] and [`super::dead_tuples`].

mod after;
mod cursor;
mod missed_rows;

pub use cursor::ScanCursor;

use super::{
    Claim, ClaimBatch, claim,
    dead_tuples::{INDEX_SCAN_TIMEOUT, table_blocks},
};
use after::claim_after;
use base::db::is_statement_timeout;
use missed_rows::claim_missed_rows;
use sqlx::PgPool;
use std::time::{Duration, Instant};

/// Claims as [`claim`] does, continuing from the cursor; from the start when nothing is left there, and from time to time.
///
/// While vacuum is blocked, scans from the start have a short timeout, the missed-row scan finds what they would have
/// found, and an empty claim does not mean that no job waits: see [`ScanCursor::rescan_in`].
///
/// # Errors
/// As [`claim`].
pub async fn resume_claim(
    pool: &PgPool,
    request: &Claim<'_>,
    cursor: &mut ScanCursor,
) -> Result<ClaimBatch, sqlx::Error> {
    let skips_start = cursor.skips_start_scan();
    if skips_start && !cursor.is_vacuum_blocked() {
        let batch = claim_after(pool, request, cursor).await?;
        if !is_full(&batch, request) {
            cursor.clear();
        }
        if !batch.jobs.is_empty() {
            cursor.advance(&batch.jobs);
            return Ok(batch);
        }
    }
    if !(skips_start && cursor.is_vacuum_blocked())
        && let Some(batch) = claim_from_start(pool, request, cursor).await?
    {
        return Ok(batch);
    }
    let missed = scan_missed_rows(pool, request, cursor).await?;
    cursor.took_missed_rows = missed.is_some();
    if let Some(missed) = missed {
        cursor.advance_past_missed(&missed.jobs);
        return Ok(missed);
    }
    let started = Instant::now();
    let batch = claim_after(pool, request, cursor).await;
    if started.elapsed() > INDEX_SCAN_TIMEOUT {
        // Other workers have long passed these positions, and their dead tuples now lie behind them too.
        cursor.reached.clear();
    }
    match batch {
        Ok(batch) => {
            cursor.advance(&batch.jobs);
            Ok(batch)
        }
        Err(error) if is_statement_timeout(&error) => Ok(request.batch(Vec::new())),
        Err(error) => Err(error),
    }
}

fn is_full(batch: &ClaimBatch, request: &Claim<'_>) -> bool {
    u32::try_from(batch.jobs.len()).is_ok_and(|jobs| jobs >= request.limit)
}

/// Claims from the start of the index; returns `None` if the statement timed out.
async fn claim_from_start(
    pool: &PgPool,
    request: &Claim<'_>,
    cursor: &mut ScanCursor,
) -> Result<Option<ClaimBatch>, sqlx::Error> {
    let started = Instant::now();
    let (result, took) = if cursor.was_cheap() {
        let batch = claim(pool, request).await;
        (batch, started.elapsed())
    } else {
        claim_with_timeout(pool, request).await
    };
    let timed_out = result.as_ref().is_err_and(is_statement_timeout);
    cursor.scanned_from_start(took, timed_out);
    if timed_out {
        return Ok(None);
    }
    let batch = result?;
    if cursor.is_vacuum_blocked() {
        cursor.replace(&batch.jobs);
    } else if is_full(&batch, request) {
        cursor.reached.clear();
        cursor.advance(&batch.jobs);
    } else {
        cursor.clear();
    }
    Ok(Some(batch))
}

/// Claims as [`claim`] does, with a timeout of [`INDEX_SCAN_TIMEOUT`]. Also returns the time without the commit, which
/// waits for the disk.
async fn claim_with_timeout(
    pool: &PgPool,
    request: &Claim<'_>,
) -> (Result<ClaimBatch, sqlx::Error>, Duration) {
    let mut took = Duration::ZERO;
    let batch = async {
        let mut transaction = pool.begin().await?;
        sqlx::query!(
            "select set_config('statement_timeout', $1, true)",
            INDEX_SCAN_TIMEOUT.as_millis().to_string()
        )
        .fetch_one(&mut *transaction)
        .await?;
        let started = Instant::now();
        let batch = claim(&mut *transaction, request).await;
        took = started.elapsed();
        let batch = batch?;
        transaction.commit().await?;
        Ok(batch)
    }
    .await;
    (batch, took)
}

/// Claims missed rows in the block range that is due, if one is; returns `None` if that claimed nothing.
async fn scan_missed_rows(
    pool: &PgPool,
    request: &Claim<'_>,
    cursor: &mut ScanCursor,
) -> Result<Option<ClaimBatch>, sqlx::Error> {
    if cursor.took_missed_rows || !cursor.table_scan.due_in().is_zero() {
        return Ok(None);
    }
    let blocks = table_blocks(pool).await?;
    let Some(range) = cursor.table_scan.next(blocks) else {
        return Ok(None);
    };
    let started = Instant::now();
    match claim_missed_rows(pool, request, cursor, &range).await {
        Ok(batch) => {
            let full = is_full(&batch, request);
            cursor.table_scan.completed(&range, started.elapsed(), full);
            Ok(Some(batch).filter(|batch| !batch.jobs.is_empty()))
        }
        Err(error) => {
            cursor.table_scan.failed(&range, started.elapsed());
            if is_statement_timeout(&error) {
                Ok(None)
            } else {
                Err(error)
            }
        }
    }
}
