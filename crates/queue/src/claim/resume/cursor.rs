//! [`ScanCursor`]: how far the claims of a queue have come in the claim's index.

use crate::{
    Job,
    claim::dead_tuples::{TableScan, is_cheap, rest},
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Slow scans from the start in a row that mean dead tuples and not a slow disk.
const SLOW_SCANS: u8 = 2;
/// Positions kept while vacuum is blocked; otherwise all of them come from one claim.
const MAX_POSITIONS: usize = 256;

/// A job's position in its tenant's part of the index.
pub(super) type Position = (DateTime<Utc>, JobId);

/// The positions that claims of a queue have reached, per priority and tenant. Each claim loop keeps one per queue.
#[derive(Debug, Default)]
pub struct ScanCursor {
    /// The last job claimed of each priority and tenant.
    pub(super) reached: BTreeMap<(i16, TenantId), Position>,
    /// When the next claim scans from the start; `None` is now. Only such a scan finds jobs that were handed back or
    /// committed late, more urgent ones, and those of other tenants.
    start_scan_due: Option<Instant>,
    /// Slow scans from the start in a row; `None` before the first, which runs with a timeout. That one alone proves nothing:
    /// it may have been slow because the database was cold.
    slow_scans: Option<u8>,
    pub(super) table_scan: TableScan,
    /// The last claim took missed rows, so the next one continues from the cursor.
    pub(super) took_missed_rows: bool,
}

impl ScanCursor {
    /// Moves the cursor past jobs that a claim found along the index.
    pub(super) fn advance(&mut self, jobs: &[Job]) {
        for job in jobs {
            let position = position(job);
            let reached = self
                .reached
                .entry((job.priority, job.lease.tenant))
                .or_insert(position);
            *reached = position.max(*reached);
        }
        self.drop_oldest_positions();
    }

    /// Moves the cursor past jobs that the missed-row scan found.
    ///
    /// Gives a tenant without a position one at its first row; earlier rows are found by the missed-row scan.
    pub(super) fn advance_past_missed(&mut self, jobs: &[Job]) {
        let mut jobs: Vec<&Job> = jobs.iter().collect();
        jobs.sort_unstable_by_key(|job| position(job));
        for job in jobs {
            let key = (job.priority, job.lease.tenant);
            self.reached.entry(key).or_insert(position(job));
        }
        self.drop_oldest_positions();
    }

    /// Replaces the positions of the tenants that a scan from the start has served, and keeps those of the others.
    pub(super) fn replace(&mut self, jobs: &[Job]) {
        for job in jobs {
            self.reached.remove(&(job.priority, job.lease.tenant));
        }
        self.advance(jobs);
    }

    fn drop_oldest_positions(&mut self) {
        if self.reached.len() > MAX_POSITIONS && self.is_vacuum_blocked() {
            // Tenants that had jobs most recently are the most likely to have more.
            let mut positions: Vec<Position> = self.reached.values().copied().collect();
            positions.sort_unstable();
            let oldest = positions[positions.len() - MAX_POSITIONS];
            self.reached.retain(|_, position| *position >= oldest);
        }
    }

    /// Resets the cursor to the start: there is no backlog any more.
    pub(super) fn clear(&mut self) {
        self.reached.clear();
        self.start_scan_due = None;
    }

    /// Whether the next claim continues from the cursor instead of scanning from the start.
    pub(super) fn skips_start_scan(&self) -> bool {
        self.start_scan_due.is_some_and(|due| Instant::now() < due)
    }

    /// Whether the last scan from the start was cheap, so that the next one needs no timeout.
    pub(super) const fn was_cheap(&self) -> bool {
        matches!(self.slow_scans, Some(0))
    }

    /// Records a scan from the start and when the next one is due: the longer it took, the later.
    pub(super) fn scanned_from_start(&mut self, took: Duration, timed_out: bool) {
        self.start_scan_due = Some(Instant::now() + rest(took));
        if timed_out {
            self.slow_scans = Some(SLOW_SCANS);
        } else if !is_cheap(took) {
            self.slow_scans = Some(self.slow_scans.unwrap_or(0).saturating_add(1));
        } else {
            self.slow_scans = Some(0);
            self.table_scan = TableScan::default();
        }
    }

    pub(super) const fn is_vacuum_blocked(&self) -> bool {
        matches!(self.slow_scans, Some(SLOW_SCANS..))
    }

    /// Returns when the claim loop must claim again by itself, because an empty claim did not scan everything; `None` if
    /// an empty claim means that no job waits.
    pub fn rescan_in(&self) -> Option<Duration> {
        let due = self.start_scan_due.filter(|_| self.is_vacuum_blocked())?;
        let start_scan = due.saturating_duration_since(Instant::now());
        Some(start_scan.min(self.table_scan.due_in()))
    }
}

fn position(job: &Job) -> Position {
    (job.run_at, job.lease.job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vacuum_is_not_blocked_because_the_first_scan_was_slow() {
        let slow = Duration::from_millis(120);
        let mut cursor = ScanCursor::default();
        assert!(!cursor.was_cheap(), "the first scan has a timeout");
        cursor.scanned_from_start(slow, false);
        assert!(!cursor.is_vacuum_blocked());
        cursor.scanned_from_start(slow, false);
        assert!(cursor.is_vacuum_blocked());
        cursor.scanned_from_start(Duration::from_millis(1), false);
        assert!(cursor.was_cheap() && !cursor.is_vacuum_blocked());
        cursor.scanned_from_start(slow, true);
        assert!(cursor.is_vacuum_blocked());
    }
}
