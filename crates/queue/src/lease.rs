//! Keeping what was claimed.

use super::{Lease, claim::interval};
use base::JobId;
use sqlx::{PgConnection, PgPool};
use std::{collections::HashSet, time::Duration};

/// Extends all leases with one statement, also those of jobs claimed and not yet started.
///
/// Returns the leases that still hold; the others were taken over, and whoever works under one must stop.
///
/// # Errors
/// If the database cannot be asked; the leases may or may not have been extended.
pub async fn renew(
    pool: &PgPool,
    held: &[Lease],
    lease: Duration,
) -> Result<HashSet<Lease>, sqlx::Error> {
    let tenants: Vec<_> = held.iter().map(|lease| lease.tenant.0).collect();
    let ids: Vec<_> = held.iter().map(|lease| lease.job.0).collect();
    let attempts: Vec<_> = held.iter().map(|lease| lease.attempt).collect();
    let kept: HashSet<(JobId, i32)> = sqlx::query!(
        r#"update jobs set lease_until = now() + $3
           from unnest($4::uuid[], $1::uuid[], $2::int[]) as held (tenant_id, id, attempt)
           where jobs.tenant_id = held.tenant_id and jobs.id = held.id and jobs.attempt = held.attempt and jobs.state = 'running'
           returning jobs.id as "id: JobId", jobs.attempt"#,
        &ids,
        &attempts,
        interval(lease),
        &tenants,
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(|row| (row.id, row.attempt))
    .collect();
    Ok(held
        .iter()
        .copied()
        .filter(|lease| kept.contains(&(lease.job, lease.attempt)))
        .collect())
}

/// Whether the lease still holds, with the job's row locked until the transaction ends, so that a write which follows
/// cannot be overtaken by a rescue.
///
/// # Errors
/// If the database cannot be asked.
pub async fn hold(conn: &mut PgConnection, lease: Lease) -> Result<bool, sqlx::Error> {
    let row = sqlx::query_scalar!(
        r#"select true as "held!" from jobs
           where tenant_id = $3 and id = $1 and attempt = $2 and state = 'running' for update"#,
        lease.job.0,
        lease.attempt,
        lease.tenant.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}
