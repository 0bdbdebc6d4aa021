//! Leases: renewal, and the check before a write.

use crate::{Lease, interval::interval};
use base::{JobId, WorkerId};
use sqlx::{PgConnection, PgPool};
use std::{collections::HashSet, time::Duration};

/// Extends all of the leases with one statement, including those of jobs that have not started yet.
///
/// Locks the rows in the order in which they lie, as a batch of settles does: in another one the two could deadlock.
///
/// Returns the leases that still hold. The others were taken over, and the work under them must stop.
///
/// # Errors
/// If the database fails; the leases may or may not have been extended.
pub async fn renew(
    pool: &PgPool,
    held: &[Lease],
    lease: Duration,
) -> Result<HashSet<Lease>, sqlx::Error> {
    let tenants: Vec<_> = held.iter().map(|lease| lease.tenant.0).collect();
    let ids: Vec<_> = held.iter().map(|lease| lease.job.0).collect();
    let attempts: Vec<_> = held.iter().map(|lease| lease.attempt).collect();
    let workers: Vec<_> = held.iter().map(|lease| lease.worker.0).collect();
    let kept: HashSet<(JobId, i32, WorkerId)> = sqlx::query!(
        r#"with locked as (
               select jobs.tenant_id, jobs.id, jobs.attempt, jobs.worker_id
               from unnest($4::uuid[], $1::uuid[], $2::int[], $5::uuid[]) as held (tenant_id, id, attempt, worker_id)
               join jobs using (tenant_id, id, attempt, worker_id)
               where jobs.state = 'running'
               order by jobs.ctid
               for update of jobs
           )
           update jobs set lease_until = now() + $3
           from locked
           where jobs.tenant_id = locked.tenant_id and jobs.id = locked.id and jobs.attempt = locked.attempt
             and jobs.worker_id = locked.worker_id and jobs.state = 'running'
           returning jobs.id as "id: JobId", jobs.attempt, jobs.worker_id as "worker_id!: WorkerId""#,
        &ids,
        &attempts,
        interval(lease),
        &tenants,
        &workers,
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(|row| (row.id, row.attempt, row.worker_id))
    .collect();
    Ok(held
        .iter()
        .copied()
        .filter(|lease| kept.contains(&(lease.job, lease.attempt, lease.worker)))
        .collect())
}

/// Locks the job's row if the lease still holds, and returns whether it does.
///
/// The lock lasts until the transaction ends, so that no rescue can come between this check and the caller's writes.
pub async fn lock_if_held(conn: &mut PgConnection, lease: Lease) -> Result<bool, sqlx::Error> {
    let row = sqlx::query_scalar!(
        r#"select true as "held!" from jobs
           where tenant_id = $3 and id = $1 and attempt = $2 and worker_id = $4 and state = 'running' for update"#,
        lease.job.0,
        lease.attempt,
        lease.tenant.0,
        lease.worker.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// Lets the job crash its workers and fail as often again as a new one may, `attempts` times. For a transaction that holds the
/// job and stores its progress: a poisonous job makes none, and a long one meets more dead workers and faults than a short one.
pub async fn renew_allowances(
    conn: &mut PgConnection,
    lease: Lease,
    attempts: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update jobs
         set max_crashes = greatest(max_crashes, least(crashes + 3, 100)),
             max_attempts = greatest(max_attempts, least(errors + $3, 100))
         where tenant_id = $1 and id = $2
           and (max_crashes < least(crashes + 3, 100) or max_attempts < least(errors + $3, 100))",
        lease.tenant.0,
        lease.job.0,
        attempts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Reads how often the job may fail now, which [`renew_allowances`] raises; `None` if the lease does not hold any more.
pub async fn max_attempts(pool: &PgPool, lease: Lease) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        "select max_attempts from jobs
         where tenant_id = $3 and id = $1 and attempt = $2 and worker_id = $4 and state = 'running'",
        lease.job.0,
        lease.attempt,
        lease.tenant.0,
        lease.worker.0,
    )
    .fetch_optional(pool)
    .await
}
