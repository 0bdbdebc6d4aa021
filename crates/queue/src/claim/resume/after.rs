//! Claims of the jobs after the cursor, along the index.

use super::cursor::{Position, ScanCursor};
use crate::{
    claim::{Claim, ClaimBatch, row::claimed_rows},
    interval::interval,
};
use base::TenantId;
use sqlx::PgExecutor;

/// Claims up to the limit of the jobs that lie after the cursor, tenant after tenant.
pub(super) async fn claim_after<'c>(
    executor: impl PgExecutor<'c>,
    request: &Claim<'_>,
    cursor: &ScanCursor,
) -> Result<ClaimBatch, sqlx::Error> {
    let known = in_turn(request, cursor);
    if known.is_empty() {
        return Ok(request.batch(Vec::new()));
    }
    let rows = claimed_rows!(
        "start_picked(pick_jobs_after($1, $2, $3, $6, $7, $8, $9, $10), $4, $5)",
        request.queue,
        request.kinds,
        i64::from(request.limit),
        request.worker.0,
        interval(request.lease),
        &known.iter().map(|(key, _, _)| key.0).collect::<Vec<_>>(),
        &known.iter().map(|(key, _, _)| key.1.0).collect::<Vec<_>>(),
        &known
            .iter()
            .map(|(_, position, _)| position.0)
            .collect::<Vec<_>>(),
        &known
            .iter()
            .map(|(_, position, _)| position.1.0)
            .collect::<Vec<_>>(),
        &known.iter().map(|(_, _, share)| *share).collect::<Vec<_>>(),
    )
    .fetch_all(executor)
    .await?;
    Ok(request.batch(rows))
}

/// Returns the cursor's positions in the order in which tenants are served, each with its share of the limit.
fn in_turn(request: &Claim<'_>, cursor: &ScanCursor) -> Vec<((i16, TenantId), Position, i64)> {
    let mut known = Vec::with_capacity(cursor.reached.len());
    for priority in request.priorities {
        let of_priority = cursor
            .reached
            .range((*priority, TenantId(uuid::Uuid::nil()))..)
            .take_while(|((other, _), _)| other == priority);
        let mut tenants: Vec<_> = of_priority.collect();
        let served =
            tenants.partition_point(|((_, tenant), _)| Some(*tenant) <= request.turn.after());
        tenants.rotate_left(served);
        let count = u32::try_from(tenants.len().max(1)).unwrap_or(u32::MAX);
        let share = i64::from(request.limit.div_ceil(count));
        known.extend(
            tenants
                .into_iter()
                .map(|(key, position)| (*key, *position, share)),
        );
    }
    known
}
