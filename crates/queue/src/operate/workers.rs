//! The worker processes that were heard of lately, for people: who runs, where, and how busy.
//!
//! Never asked about leases: a lease belongs to a job's row, and a worker that is missing here may well be at work.

use crate::claim::interval;
use base::WorkerId;
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use std::time::Duration;

/// How often a worker says that it is there.
pub const BEAT: Duration = Duration::from_secs(15);
/// A worker that was silent for longer than two of its beats has probably died.
const SILENT: Duration = Duration::from_secs(40);
/// After this long it is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub struct Beat<'a> {
    pub worker: WorkerId,
    pub host: &'a str,
    pub queues: &'a [String],
    /// Jobs of each queue that it runs at the same time.
    pub slots: i32,
    pub running: i32,
    /// It claims nothing more and ends when its jobs have.
    pub stopping: bool,
    pub version: &'a str,
    /// Since the process started.
    pub uptime: Duration,
}

/// A worker as it was heard of last.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    pub id: WorkerId,
    pub host: String,
    pub queues: Vec<String>,
    pub slots: i32,
    pub running: i32,
    pub stopping: bool,
    pub version: String,
    pub started_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
    /// It missed its beats: dead, frozen or cut off. Its jobs come back when their leases expire.
    pub silent: bool,
}

/// Writes the worker down, or that it is still there.
///
/// # Errors
/// If the database cannot be asked.
pub async fn beat<'c>(executor: impl PgExecutor<'c>, beat: &Beat<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into workers (id, host, queues, slots, running, stopping, version, started_at)
         values ($1, $2, $3, $4, $5, $6, $7, now() - $8::interval)
         on conflict (id) do update set running = excluded.running, stopping = excluded.stopping, seen_at = now()",
        beat.worker.0,
        beat.host,
        beat.queues,
        beat.slots,
        beat.running,
        beat.stopping,
        beat.version,
        interval(beat.uptime),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Strikes out a worker that has ended in order.
///
/// # Errors
/// If the database cannot be asked; the worker is then forgotten as a dead one is.
pub async fn leave<'c>(executor: impl PgExecutor<'c>, worker: WorkerId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from workers where id = $1", worker.0)
        .execute(executor)
        .await?;
    Ok(())
}

/// All workers that are not forgotten, the oldest first.
///
/// # Errors
/// If the database cannot be asked.
pub async fn list(pool: &PgPool) -> Result<Vec<Worker>, sqlx::Error> {
    sqlx::query_as!(
        Worker,
        r#"select id as "id: WorkerId", host, queues, slots, running, stopping, version, started_at, seen_at,
                  seen_at < now() - $1::interval as "silent!"
           from workers
           where seen_at >= now() - $2::interval
           order by id"#,
        interval(SILENT),
        interval(FORGOTTEN),
    )
    .fetch_all(pool)
    .await
}

/// Deletes the rows of workers that were not heard of for ten minutes.
///
/// # Errors
/// If the database cannot be asked.
pub async fn prune(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from workers where seen_at < now() - $1::interval",
        interval(FORGOTTEN),
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
