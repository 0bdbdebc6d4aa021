//! Claims of missed rows: jobs that do not lie after the cursor, found by reading a block range of the table itself.
//!
//! Jobs that were committed late or handed back, and jobs of tenants without a position, lie elsewhere in the index, which
//! is full of dead tuples while vacuum is blocked.

use super::cursor::ScanCursor;
use crate::{
    claim::{Claim, ClaimBatch, dead_tuples::BlockRange, row::claimed_rows},
    interval::interval,
};
use sqlx::PgExecutor;

/// Claims up to the limit of the missed rows in a block range, in the table's order: the longest due job of a few hundred
/// blocks is nothing special.
pub(super) async fn claim_missed_rows<'c>(
    executor: impl PgExecutor<'c>,
    request: &Claim<'_>,
    cursor: &ScanCursor,
    range: &BlockRange,
) -> Result<ClaimBatch, sqlx::Error> {
    // `is not false` keeps the planner from the index over available jobs: it cannot know that this means the same.
    let rows = claimed_rows!(
        "start_picked(array(with known as materialized (
             select * from unnest($6::smallint[], $7::uuid[], $8::timestamptz[], $9::uuid[])
                 as known (priority, tenant_id, run_at, id)
         )
         select job.ctid from jobs job
         where job.ctid >= format('(%s,0)', $10::bigint)::tid and job.ctid < format('(%s,0)', $11::bigint)::tid
           and job.queue = $1 and (job.state = 'available') is not false and job.kind = any($2)
           and job.priority = any($12)
           and not exists (
               select from known
               where known.priority = job.priority and known.tenant_id = job.tenant_id
                 and (job.run_at, job.id) > (known.run_at, known.id))
           and not exists (select from queue_pauses where queue_pauses.queue = $1)
         limit $3
         for update of job skip locked
         ), $4, $5)",
        request.queue,
        request.kinds,
        i64::from(request.limit),
        request.worker.0,
        interval(request.lease),
        &cursor.reached.keys().map(|key| key.0).collect::<Vec<_>>(),
        &cursor.reached.keys().map(|key| key.1.0).collect::<Vec<_>>(),
        &cursor
            .reached
            .values()
            .map(|position| position.0)
            .collect::<Vec<_>>(),
        &cursor
            .reached
            .values()
            .map(|position| position.1.0)
            .collect::<Vec<_>>(),
        range.start(),
        range.end(),
        request.priorities,
    )
    .fetch_all(executor)
    .await?;
    Ok(request.batch(rows))
}
