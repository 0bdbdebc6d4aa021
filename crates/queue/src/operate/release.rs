//! Ends the snooze of jobs early, when what they wait for is there.

use crate::interval::interval;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
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
///
/// # Errors
/// If the database fails.
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
