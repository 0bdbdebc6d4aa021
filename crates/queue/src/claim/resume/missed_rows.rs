//! Claims of what does not lie after a mark, found by reading a stretch of the table itself.
//!
//! Jobs that were committed late, that were handed back, of tenants that had none: wherever the index is full of litter, the
//! marks are all that may be gone on from, and these lie elsewhere.

use super::Marks;
use crate::claim::{Claim, Claimed, Row, dead_tuples::Stretch, interval};
use base::{JobId, TenantId};
use sqlx::PgExecutor;

/// Claims up to the limit of the strays in a stretch, as they come: the longest due of a few hundred blocks is nobody's.
pub(super) async fn claim_strays<'c>(
    executor: impl PgExecutor<'c>,
    request: &Claim<'_>,
    marks: &Marks,
    stretch: &Stretch,
) -> Result<Claimed, sqlx::Error> {
    // `is not false` keeps the planner from the index over available jobs: it cannot know that this means the same.
    let rows = sqlx::query_as!(
        Row,
        r#"with known as materialized (
               select * from unnest($6::smallint[], $7::uuid[], $8::timestamptz[], $9::uuid[])
                   as known (priority, tenant_id, run_at, id)
           ), picked as (
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
           )
           update jobs
           set state = 'running', attempt = attempt + 1, worker_id = $4, lease_until = now() + $5,
               started_at = clock_timestamp()
           where ctid = any(array(select ctid from picked)) and state = 'available'
           returning id as "id: JobId", tenant_id as "tenant_id: TenantId", kind, queue, priority, args,
                     attempt, errors, crashes, max_attempts, run_at, created_at, started_at as "started_at!",
                     request_id, traceparent, parent_id as "parent_id: JobId", children"#,
        request.queue,
        request.kinds,
        i64::from(request.limit),
        request.worker.0,
        interval(request.lease),
        &marks.reached.keys().map(|key| key.0).collect::<Vec<_>>(),
        &marks.reached.keys().map(|key| key.1.0).collect::<Vec<_>>(),
        &marks.reached.values().map(|place| place.0).collect::<Vec<_>>(),
        &marks.reached.values().map(|place| place.1.0).collect::<Vec<_>>(),
        stretch.start(),
        stretch.end(),
        request.priorities,
    )
    .fetch_all(executor)
    .await?;
    Ok(request.claimed(rows))
}
