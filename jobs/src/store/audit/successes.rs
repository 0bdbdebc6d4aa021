//! [`settle_succeeded`]: the hot path, where jobs are settled and audited by the hundred.

use base::{JobId, telemetry::trace_id};
use queue::{Job, settle::SucceededColumns};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, types::Json};
use std::collections::HashSet;

/// The most entries of one row.
const BATCH: usize = 1_000;

/// Settles attempts with their outputs as [`queue::settle_succeeded`] does, and writes the entries of those that it settled
/// in the same statement: one row for each tenant, in the order of the attempts.
///
/// # Errors
/// As [`queue::settle_succeeded`]; nothing is settled without its entry.
pub async fn settle_succeeded(
    conn: &mut PgConnection,
    succeeded: &[(&Job, &Value)],
) -> Result<HashSet<JobId>, sqlx::Error> {
    let columns = SucceededColumns::of(succeeded.iter().map(|(job, output)| (job.lease, *output)));
    let jobs = || succeeded.iter().map(|(job, _)| job);
    // The number of its row beside each attempt: the statement groups them by it.
    let rows: Vec<i32> = succeeded
        .chunk_by(|(one, _), (next, _)| one.lease.tenant == next.lease.tenant)
        .flat_map(|of_tenant| of_tenant.chunks(BATCH))
        .zip(0..)
        .flat_map(|(row, number)| std::iter::repeat_n(number, row.len()))
        .collect();
    let settled = sqlx::query_scalar!(
        r#"
        with settled as materialized (
            select tenant_id, id, attempt from settle_succeeded($1, $2, $3, $4, $5)
        ), audited as (
            insert into audit_batches (
                tenant_id, worker_id, entries, job_ids, attempts, request_ids, request_hashes, trace_ids)
            select tenant_id, worker_id, count(*), array_agg(id order by nth), array_agg(attempt order by nth),
                case when bool_or(request_id is not null) then array_agg(request_id order by nth) end,
                case when bool_or(request_id is not null) then array_agg(request_hash order by nth) end,
                case when bool_or(trace_id is not null) then array_agg(trace_id order by nth) end
            from settled
            join unnest($1, $2, $3, $4, $6::int[], $7::text[], $8::int[], $9::text[]) with ordinality
                as ended (tenant_id, id, attempt, worker_id, row_number, request_id, request_hash, trace_id, nth)
                using (tenant_id, id, attempt)
            group by tenant_id, row_number, worker_id
            order by min(nth)
        )
        select id as "id!: JobId" from settled
        "#,
        &columns.tenants,
        &columns.jobs,
        &columns.attempts,
        &columns.workers,
        &columns.outputs as &[Json<&Value>],
        &rows,
        &jobs().map(|job| job.request_id.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &jobs()
            .map(|job| job.request_id.as_deref().map(request_hash))
            .collect::<Vec<_>>() as &[Option<i32>],
        &jobs()
            .map(|job| job.traceparent.as_deref().and_then(trace_id))
            .collect::<Vec<_>>() as &[Option<&str>],
    )
    .fetch_all(conn)
    .await?;
    Ok(settled.into_iter().collect())
}

/// Shortens a request id for the index over batches. Two ids may have the same hash.
pub(super) fn request_hash(request_id: &str) -> i32 {
    let hash: [u8; 32] = Sha256::digest(request_id).into();
    i32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}
