//! Holding a queue still, on all workers at once: what runs goes on, nothing more is claimed.
//!
//! The claim statement asks for itself, so a pause holds from the moment it is committed, also for workers that start
//! later. Jobs are accepted all the while.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};

/// A queue that is held still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub queue: String,
    pub paused_at: DateTime<Utc>,
    pub reason: String,
}

/// Stops claims of the queue; of a queue that is paused already, only the reason is replaced.
///
/// # Errors
/// If the database cannot be asked.
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

/// Lets the queue be claimed from again. False when it was not paused. Notify workers afterwards.
///
/// # Errors
/// If the database cannot be asked.
pub async fn resume<'c>(executor: impl PgExecutor<'c>, queue: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("delete from queue_pauses where queue = $1", queue)
        .execute(executor)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The queues that are paused.
///
/// # Errors
/// If the database cannot be asked.
pub async fn paused(pool: &PgPool) -> Result<Vec<Pause>, sqlx::Error> {
    sqlx::query_as!(
        Pause,
        "select queue, paused_at, reason from queue_pauses order by queue"
    )
    .fetch_all(pool)
    .await
}

/// How many jobs of the queue run on all workers: a paused queue is drained when none does. A claim that was under way
/// when the queue was paused may add a last few, within milliseconds.
///
/// # Errors
/// If the database cannot be asked.
pub async fn running(pool: &PgPool, queue: &str) -> Result<i64, sqlx::Error> {
    // By the lease and not by the state: what has one runs, and is found by an index.
    sqlx::query_scalar!(
        r#"select count(*) as "running!" from jobs where queue = $1 and lease_until is not null"#,
        queue,
    )
    .fetch_one(pool)
    .await
}
