//! Claims: one short statement that takes due jobs and leaves nothing locked.

pub mod dead_tuples;
pub mod poll;
pub mod resume;
mod row;
pub mod under_limits;

use crate::{Job, interval::interval};
use base::{TenantId, WorkerId};
use row::{Row, claimed_rows};
use sqlx::PgExecutor;
use std::time::Duration;
use uuid::Uuid;

/// A claim request of one worker for one queue.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    pub worker: WorkerId,
    pub queue: &'a str,
    /// The kinds that this worker has a handler for. During a deploy, jobs of other kinds are left to newer workers.
    pub kinds: &'a [String],
    /// How long the jobs belong to the worker without a renewal.
    pub lease: Duration,
    pub limit: u32,
    pub turn: FairnessTurn,
    /// The priorities in the order in which they are served: [`FairnessTurn::priorities`] or a part of it.
    pub priorities: &'a [i16],
    pub capacity: &'a Capacity,
}

/// Which tenant and priority a claim serves first: claims go round the tenants, and every eighth claim serves the least
/// urgent jobs first.
///
/// Each claim loop keeps one per queue. A worker that restarts begins a new round, which delays a tenant by one round at
/// most.
#[derive(Clone, Copy, Debug, Default)]
pub struct FairnessTurn {
    claims: u32,
    after: Option<TenantId>,
}

impl FairnessTurn {
    /// Every eighth claim serves the priorities in reverse, so that none of them starves.
    const REVERSED: u32 = 8;

    /// Returns the priorities in the order of this turn; 1 is the most urgent.
    pub fn priorities(self) -> [i16; 4] {
        if self.claims % Self::REVERSED == Self::REVERSED - 1 {
            [4, 3, 2, 1]
        } else {
            [1, 2, 3, 4]
        }
    }

    /// The tenant that was served last.
    pub(super) fn after(self) -> Option<TenantId> {
        self.after
    }

    /// Returns the turn after a claim whose last job belongs to `last`.
    pub(super) fn next(self, last: Option<TenantId>) -> Self {
        Self {
            claims: self.claims.wrapping_add(1),
            after: last.or(self.after),
        }
    }
}

/// How many jobs of each tenant a claim may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Tenants with a capacity of their own.
    pub tenants: Vec<(TenantId, i32)>,
    pub other_tenants: i32,
}

impl Capacity {
    pub const UNLIMITED: Self = Self {
        tenants: Vec::new(),
        other_tenants: i32::MAX,
    };
}

/// The jobs that a claim took.
#[derive(Debug)]
pub struct ClaimBatch {
    /// In the order in which they should start.
    pub jobs: Vec<Job>,
    /// The turn of the next claim.
    pub turn: FairnessTurn,
}

/// Claims up to `limit` due jobs: by priority, then tenant after tenant, and of each tenant the longest due first.
///
/// Each tenant gets an equal share of the limit, so a claim may take fewer than `limit` jobs although more wait. Only an
/// empty claim means that no job waits (for these kinds, in this queue, now).
///
/// # Errors
/// If the database fails. Jobs whose claim was committed but not answered come back when their lease expires.
pub async fn claim<'c>(
    executor: impl PgExecutor<'c>,
    claim: &Claim<'_>,
) -> Result<ClaimBatch, sqlx::Error> {
    let rows = claimed_rows!(
        "start_picked(pick_jobs($1, $2, $3, $6, $7, $8, $9, $10), $4, $5)",
        claim.queue,
        claim.kinds,
        i64::from(claim.limit),
        claim.worker.0,
        interval(claim.lease),
        claim.priorities,
        claim.turn.after.map_or(Uuid::nil(), |tenant| tenant.0),
        &claim
            .capacity
            .tenants
            .iter()
            .map(|(tenant, _)| tenant.0)
            .collect::<Vec<_>>(),
        &claim
            .capacity
            .tenants
            .iter()
            .map(|(_, capacity)| *capacity)
            .collect::<Vec<_>>(),
        claim.capacity.other_tenants,
    )
    .fetch_all(executor)
    .await?;
    Ok(claim.batch(rows))
}

impl Claim<'_> {
    /// Sorts the claimed rows into the order in which they should start: an update returns rows in no particular order.
    fn batch(&self, mut rows: Vec<Row>) -> ClaimBatch {
        rows.sort_unstable_by_key(|row| {
            let rank = self.priorities.iter().position(|it| *it == row.priority);
            let served = Some(row.tenant_id) <= self.turn.after;
            (rank, served, row.tenant_id, row.run_at, row.id)
        });
        let last = rows.last().map(|row| row.tenant_id);
        ClaimBatch {
            jobs: rows
                .into_iter()
                .map(|row| row.into_job(self.worker))
                .collect(),
            turn: self.turn.next(last),
        }
    }
}
