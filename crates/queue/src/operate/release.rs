//! Ends the snooze of jobs early, when what they wait for is there.

use crate::interval::interval;
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

/// Which jobs to release, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    pub kinds: &'a [&'a str],
    /// The error codes of their snoozes.
    pub codes: &'a [&'a str],
    /// Snoozes that began later are left alone; none leaves none alone.
    pub snoozed_before: Option<DateTime<Utc>>,
    pub limit: i64,
    /// The time over which their starts are spread. Jobs that start within it anyway are left alone.
    pub spread: Duration,
}

/// Makes snoozed jobs of every tenant due, those with the fewest attempts first, and returns their queues.
///
/// The fewest attempts first: if a single job is released to try whether the others may follow, it is not always the same one.
/// Matches on the snooze of their last attempt, so that a job that waits for its time or for another reason keeps waiting.
pub async fn release_snoozed(
    pool: &PgPool,
    release: Release<'_>,
) -> Result<Vec<String>, sqlx::Error> {
    let owned =
        |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
    sqlx::query_scalar!(
        "with waiting as (
             select job.tenant_id, job.id
             from jobs job
             join job_attempts last on last.job_id = job.id and last.attempt = job.attempt
             where job.state = 'scheduled' and job.kind = any($1) and job.run_at > now() + $4
               and last.outcome = 'snoozed' and last.error_code = any($2)
               and ($5::timestamptz is null or last.ended_at < $5)
             order by job.attempt, job.priority, job.run_at, job.id
             limit $3
             for update of job skip locked
         )
         update jobs set run_at = now() + $4 * random()
         from waiting
         where jobs.tenant_id = waiting.tenant_id and jobs.id = waiting.id
         returning jobs.queue",
        &owned(release.kinds),
        &owned(release.codes),
        release.limit,
        interval(release.spread),
        release.snoozed_before,
    )
    .fetch_all(pool)
    .await
}

/// A snoozed job and when it becomes due.
#[derive(Clone, Copy, Debug)]
pub struct DueJob {
    pub tenant: TenantId,
    pub job: JobId,
    pub at: DateTime<Utc>,
}

/// Makes snoozed jobs due at the given times, except those that are due earlier or not snoozed any more. Returns their queues.
pub async fn release_at(
    conn: &mut PgConnection,
    due: &[DueJob],
) -> Result<Vec<String>, sqlx::Error> {
    let tenants: Vec<_> = due.iter().map(|due| due.tenant.0).collect();
    let jobs: Vec<_> = due.iter().map(|due| due.job.0).collect();
    let times: Vec<_> = due.iter().map(|due| due.at).collect();
    sqlx::query_scalar!(
        "with due as (
             select job.tenant_id, job.id, given.at
             from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) as given (tenant_id, id, at)
             join jobs job on job.tenant_id = given.tenant_id and job.id = given.id
             where job.state = 'scheduled' and job.run_at > given.at
             for update of job skip locked
         )
         update jobs set run_at = due.at
         from due
         where jobs.tenant_id = due.tenant_id and jobs.id = due.id
         returning jobs.queue",
        &tenants,
        &jobs,
        &times,
    )
    .fetch_all(conn)
    .await
}
