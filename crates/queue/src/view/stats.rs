//! The queue's depth: one worker counts it, and every process reads that sample.
//!
//! Counting in every process at every scrape would make metrics the heaviest user of the queue.

use crate::JobState;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// The states of jobs that are not finished.
pub const LIVE_STATES: [JobState; 4] = [
    JobState::Available,
    JobState::Scheduled,
    JobState::Running,
    JobState::Retryable,
];

/// The number of jobs of a queue in a state.
#[derive(Clone, Debug, PartialEq)]
pub struct Depth {
    pub queue: String,
    pub state: String,
    pub jobs: i64,
    /// When the longest waiting job became due; only for available jobs, and not for those that an operator stopped.
    pub oldest_run_at: Option<DateTime<Utc>>,
    /// Seconds since then, at the time of reading.
    pub oldest_age_seconds: Option<f64>,
    pub sampled_at: DateTime<Utc>,
    /// Seconds since the jobs were counted, at the time of reading.
    pub sample_age_seconds: f64,
}

/// Counts the jobs of the given queues and stores the sample. An empty queue is stored as zero.
///
/// Jobs of a paused queue, and of a tenant none of whose jobs may run, wait because an operator wants it: they are counted,
/// and none of them is the oldest.
pub async fn sample(pool: &PgPool, queues: &[String]) -> Result<(), sqlx::Error> {
    let states = LIVE_STATES.map(|state| state.as_str().to_owned());
    sqlx::query!(
        "insert into queue_samples (queue, state, jobs, oldest_run_at)
         select queues.queue, states.state, count(jobs.id),
                case when not exists (select from queue_pauses where queue_pauses.queue = queues.queue) then
                    min(jobs.run_at) filter (where jobs.state = 'available' and not (jobs.tenant_id in (
                        select name::uuid from queue_limits where scope = 'tenant' and name <> '*' and max_running = 0)))
                end
         from unnest($1::text[]) as queues (queue)
         cross join unnest($2::text[]) as states (state)
         left join jobs on jobs.queue = queues.queue and jobs.state = states.state
         group by queues.queue, states.state
         on conflict (queue, state)
         do update set jobs = excluded.jobs, oldest_run_at = excluded.oldest_run_at, sampled_at = now()",
        queues,
        &states,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Reads the last sample.
pub async fn read_sample(pool: &PgPool) -> Result<Vec<Depth>, sqlx::Error> {
    sqlx::query_as!(
        Depth,
        r#"select queue, state, jobs, oldest_run_at,
                  extract(epoch from now() - oldest_run_at)::float8 as oldest_age_seconds, sampled_at,
                  extract(epoch from now() - sampled_at)::float8 as "sample_age_seconds!"
           from queue_samples order by queue, state"#,
    )
    .fetch_all(pool)
    .await
}
