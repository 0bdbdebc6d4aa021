//! The worker list for operators: which workers run, where, and how busy they are.
//!
//! Leases never depend on it: a lease belongs to a job's row, and a worker that is missing here may be running jobs.

use crate::interval::interval;
use base::WorkerId;
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use std::time::Duration;

/// The time between two heartbeats of a worker.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// A worker that missed two heartbeats has probably died.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(40);
/// How long a silent worker stays in the list.
const RETENTION: Duration = Duration::from_secs(600);

/// A worker's report about itself.
#[derive(Clone, Debug)]
pub struct Heartbeat<'a> {
    pub worker: WorkerId,
    pub host: &'a str,
    pub queues: &'a [String],
    /// Jobs of each queue that the worker runs at the same time.
    pub slots: i32,
    pub running: i32,
    /// The worker claims no more jobs and exits when its running jobs have ended.
    pub stopping: bool,
    pub version: &'a str,
    /// The time since the process started.
    pub uptime: Duration,
}

/// A worker as of its last heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerInfo {
    pub id: WorkerId,
    pub host: String,
    pub queues: Vec<String>,
    pub slots: i32,
    pub running: i32,
    pub stopping: bool,
    pub version: String,
    pub started_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
    /// The worker missed its heartbeats: it is dead, frozen or disconnected. Its jobs return to the queue when their leases expire.
    pub silent: bool,
}

/// Records a heartbeat.
pub async fn heartbeat<'c>(
    executor: impl PgExecutor<'c>,
    heartbeat: &Heartbeat<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into workers (id, host, queues, slots, running, stopping, version, started_at)
         values ($1, $2, $3, $4, $5, $6, $7, now() - $8::interval)
         on conflict (id) do update set running = excluded.running, stopping = excluded.stopping, seen_at = now()",
        heartbeat.worker.0,
        heartbeat.host,
        heartbeat.queues,
        heartbeat.slots,
        heartbeat.running,
        heartbeat.stopping,
        heartbeat.version,
        interval(heartbeat.uptime),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Removes a worker that stopped in order.
///
/// # Errors
/// If the database fails; then the worker leaves the list as a dead one does.
pub async fn remove<'c>(
    executor: impl PgExecutor<'c>,
    worker: WorkerId,
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from workers where id = $1", worker.0)
        .execute(executor)
        .await?;
    Ok(())
}

/// Lists the workers with a recent heartbeat, oldest first.
pub async fn list(pool: &PgPool) -> Result<Vec<WorkerInfo>, sqlx::Error> {
    sqlx::query_as!(
        WorkerInfo,
        r#"select id as "id: WorkerId", host, queues, slots, running, stopping, version, started_at, seen_at,
                  seen_at < now() - $1::interval as "silent!"
           from workers
           where seen_at >= now() - $2::interval
           order by id"#,
        interval(SILENT_AFTER),
        interval(RETENTION),
    )
    .fetch_all(pool)
    .await
}

/// Deletes workers without a heartbeat for ten minutes.
pub async fn prune(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from workers where seen_at < now() - $1::interval",
        interval(RETENTION),
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
