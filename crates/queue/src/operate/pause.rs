//! Pauses a queue on all workers at once: running jobs continue, and no more jobs are claimed.
//!
//! Every claim statement checks for a pause, so it takes effect when it is committed, also for workers that start later. A
//! paused queue still accepts jobs.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};

/// A paused queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub queue: String,
    pub paused_at: DateTime<Utc>,
    pub reason: String,
}

/// Pauses the queue; if it is paused already, only replaces the reason.
pub async fn pause<'c>(
    executor: impl PgExecutor<'c>,
    queue: &str,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into queue_pauses (queue, reason) values ($1, $2)
         on conflict (queue) do update set reason = excluded.reason",
        queue,
        reason,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Resumes the queue and returns whether it was paused. Notify workers after the commit.
pub async fn resume<'c>(executor: impl PgExecutor<'c>, queue: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("delete from queue_pauses where queue = $1", queue)
        .execute(executor)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Lists the paused queues.
pub async fn paused(pool: &PgPool) -> Result<Vec<Pause>, sqlx::Error> {
    sqlx::query_as!(
        Pause,
        "select queue, paused_at, reason from queue_pauses order by queue"
    )
    .fetch_all(pool)
    .await
}

/// Counts the running jobs of the queue on all workers: a paused queue is drained when none runs. A claim that was in
/// flight when the queue was paused may add a few within milliseconds.
pub async fn running(pool: &PgPool, queue: &str) -> Result<i64, sqlx::Error> {
    // By the lease and not by the state: exactly the running jobs have one, and it has an index.
    sqlx::query_scalar!(
        r#"select count(*) as "running!" from jobs where queue = $1 and lease_until is not null"#,
        queue,
    )
    .fetch_one(pool)
    .await
}
