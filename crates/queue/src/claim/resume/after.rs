//! Claims of what lies after the marks, along the index.

use super::{Marks, Place};
use crate::claim::{Claim, Claimed, Row, interval};
use base::{JobId, TenantId};
use sqlx::PgExecutor;

pub(super) async fn claim_after<'c>(
    executor: impl PgExecutor<'c>,
    request: &Claim<'_>,
    marks: &Marks,
) -> Result<Claimed, sqlx::Error> {
    let known = in_turn(request, marks);
    if known.is_empty() {
        return Ok(request.claimed(Vec::new()));
    }
    let rows = sqlx::query_as!(
        Row,
        r#"with picked as (
               select job.ctid
               from unnest($6::smallint[], $7::uuid[], $8::timestamptz[], $9::uuid[], $10::bigint[])
                   as known (priority, tenant_id, run_at, id, share)
               cross join lateral (
                   select ctid from jobs
                   where queue = $1 and priority = known.priority and state = 'available'
                     and tenant_id = known.tenant_id and (run_at, id) > (known.run_at, known.id) and kind = any($2)
                   order by run_at, id
                   limit known.share
                   for update skip locked
               ) job
               where not exists (select from queue_pauses where queue_pauses.queue = $1)
               limit $3
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
        &known.iter().map(|(key, _, _)| key.0).collect::<Vec<_>>(),
        &known.iter().map(|(key, _, _)| key.1.0).collect::<Vec<_>>(),
        &known.iter().map(|(_, place, _)| place.0).collect::<Vec<_>>(),
        &known.iter().map(|(_, place, _)| place.1.0).collect::<Vec<_>>(),
        &known.iter().map(|(_, _, share)| *share).collect::<Vec<_>>(),
    )
    .fetch_all(executor)
    .await?;
    Ok(request.claimed(rows))
}

/// The marks in the order in which they are served, each with its share of the limit.
fn in_turn(request: &Claim<'_>, marks: &Marks) -> Vec<((i16, TenantId), Place, i64)> {
    let mut known = Vec::with_capacity(marks.reached.len());
    for priority in request.priorities {
        let of_it = marks
            .reached
            .range((*priority, TenantId(uuid::Uuid::nil()))..);
        let of_it = of_it.take_while(|((other, _), _)| other == priority);
        let mut tenants: Vec<_> = of_it.collect();
        let served =
            tenants.partition_point(|((_, tenant), _)| Some(*tenant) <= request.turn.after());
        tenants.rotate_left(served);
        let count = u32::try_from(tenants.len().max(1)).unwrap_or(u32::MAX);
        let share = i64::from(request.limit.div_ceil(count));
        known.extend(
            tenants
                .into_iter()
                .map(|(key, place)| (*key, *place, share)),
        );
    }
    known
}
