//! [`settle_succeeded`]: the hot path, where jobs are settled and audited by the hundred.

use base::{JobId, telemetry::trace_id};
use queue::{Job, TupleId, settle::SucceededColumns};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, types::Json};
use std::collections::HashSet;

/// The most entries of one row.
const BATCH: usize = 1_000;

/// Settles attempts with their outputs as [`queue::settle_succeeded`] does, and writes the entries of those that it settled
/// in the same statement: a row for the attempts of each tenant and worker that follow each other.
///
/// # Errors
/// As [`queue::settle_succeeded`]; nothing is settled without its entry.
pub async fn settle_succeeded(
    conn: &mut PgConnection,
    succeeded: &[(&Job, &Value)],
) -> Result<HashSet<JobId>, sqlx::Error> {
    let columns = SucceededColumns::of(succeeded);
    let jobs = || succeeded.iter().map(|(job, _)| job);
    let (mut firsts, mut lasts, mut last) = (Vec::new(), Vec::new(), 0);
    let rows = succeeded
        .chunk_by(|(one, _), (next, _)| {
            (one.lease.tenant, one.lease.worker) == (next.lease.tenant, next.lease.worker)
        })
        .flat_map(|of_tenant| of_tenant.chunks(BATCH));
    for row in rows {
        firsts.push(last + 1);
        last += i32::try_from(row.len()).unwrap_or(i32::MAX);
        lasts.push(last);
    }
    let unsettled = sqlx::query_scalar!(
        r#"select settle_audited($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) as "unsettled!""#,
        &columns.places as &[TupleId],
        &columns.tenants,
        &columns.jobs,
        &columns.attempts,
        &columns.workers,
        &columns.outputs as &[Json<&Value>],
        &firsts,
        &lasts,
        &jobs()
            .map(|job| job.request_id.as_deref())
            .collect::<Vec<_>>() as &[Option<&str>],
        &jobs()
            .map(|job| job.request_id.as_deref().map(request_hash))
            .collect::<Vec<_>>() as &[Option<i32>],
        &jobs()
            .map(|job| job.traceparent.as_deref().and_then(trace_id))
            .collect::<Vec<_>>() as &[Option<&str>],
    )
    .fetch_one(conn)
    .await?;
    Ok(columns.jobs_at(&unsettled))
}

/// Shortens a request id for the index over batches. Two ids may have the same hash.
pub(super) fn request_hash(request_id: &str) -> i32 {
    let hash: [u8; 32] = Sha256::digest(request_id).into();
    i32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}
