//! [`JobView`]: a job for its owner, read from either table.

pub mod attempts;
pub mod dead_letters;
pub mod events;
pub mod explain;
pub mod list;
pub mod replay;
pub mod stats;

use crate::{JobState, NewJob, run::progress::Progress};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::HashMap;

/// A job for a reader.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    pub id: JobId,
    pub tenant: TenantId,
    pub kind: String,
    pub queue: String,
    pub state: JobState,
    /// Attempts that count, including the running one; 0 before the first. Interruptions and crashes do not count.
    pub attempts: i32,
    pub max_attempts: i32,
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    pub run_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// The handler's output, if the job succeeded.
    pub output: Option<serde_json::Value>,
    /// Why the job was discarded or cancelled, or why its last attempt failed.
    pub error: Option<JobError>,
    /// The last report of the running attempt.
    pub progress: Option<Progress>,
    /// The job that enqueued this one.
    pub parent: Option<JobId>,
    /// The progress of the children, if the job enqueued any and waited for them.
    pub children: Option<Children>,
    pub request_id: Option<String>,
    /// The id that the client gave that request.
    pub client_request_id: Option<String>,
}

/// The progress of a job's child jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "JobChildren")]
pub struct Children {
    #[schemars(range(min = 0))]
    pub total: i32,
    #[schemars(range(min = 0))]
    pub ended: i64,
    /// How many of those that ended did not succeed.
    #[schemars(range(min = 0))]
    pub failed: i64,
}

/// A failure as the user may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    pub code: String,
    pub message: String,
}

impl JobView {
    /// Returns the view of a job that was inserted by a transaction that began at `at`.
    pub fn of_new(job: &NewJob, at: DateTime<Utc>) -> Self {
        Self {
            id: job.id,
            tenant: job.tenant,
            kind: job.kind.to_owned(),
            queue: job.queue.to_owned(),
            state: match job.run_at {
                Some(run_at) if run_at > at => JobState::Scheduled,
                _ => JobState::Available,
            },
            attempts: 0,
            max_attempts: job.max_attempts,
            priority: job.priority,
            run_at: job.run_at.unwrap_or(at),
            created_at: at,
            started_at: None,
            finished_at: None,
            output: None,
            error: None,
            progress: None,
            parent: job.parent,
            children: None,
            request_id: job.request_id.clone(),
            client_request_id: job.client_request_id.clone(),
        }
    }
}

/// Counts all jobs of the tenant. Reads every row: for development, not for production.
pub async fn count(conn: &mut PgConnection, tenant: TenantId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select (select count(*) from jobs where tenant_id = $1)
                + (select count(*) from finished_jobs where tenant_id = $1) as "count!""#,
        tenant.0,
    )
    .fetch_one(conn)
    .await
}

/// Finds a job of the tenant.
///
/// # Errors
/// If the database fails, or holds a state that this version does not know.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: JobId,
) -> Result<Option<JobView>, sqlx::Error> {
    // One statement sees one snapshot, so a job that moves between the tables meanwhile is found in exactly one of them.
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id!: JobId", kind as "kind!", queue as "queue!", state as "state!: JobState", attempts as "attempts!",
                  max_attempts as "max_attempts!", priority as "priority!", run_at as "run_at!", created_at as "created_at!", started_at, finished_at,
                  output, error_code, error_message, progress, progress_note, request_id, client_request_id,
                  parent_id as "parent_id: JobId", children as "children!", ended."all" as ended, ended.failed
           from (
               select id, kind, queue, state, errors + (state = 'running')::int as attempts, max_attempts, priority, run_at,
                      created_at, started_at, null::timestamptz as finished_at, null::jsonb as output,
                      last_error_code as error_code, last_error_message as error_message, progress, progress_note, request_id, client_request_id,
                      parent_id, children
               from jobs where id = $1 and tenant_id = $2
               union all
               select id, kind, queue, state, errors + (state = 'succeeded')::int, max_attempts, priority, run_at,
                      created_at, started_at, finished_at, output, error_code, error_message, null, null, request_id, client_request_id,
                      parent_id, children
               from finished_jobs where id = $1 and tenant_id = $2
           ) job
           left join lateral (
               select count(*) as "all", count(*) filter (where child.state <> 'succeeded') as failed
               from finished_jobs child where child.parent_id = $1 and child.tenant_id = $2 and job.children > 0
           ) ended on true"#,
        id.0,
        tenant.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.view(tenant)))
}

/// Returns the job that this transaction has inserted, with the times that the database gave it.
///
/// # Errors
/// As [`find`].
pub async fn inserted(conn: &mut PgConnection, job: &NewJob) -> Result<JobView, sqlx::Error> {
    let found = find(conn, job.tenant, job.id).await?;
    found.ok_or(sqlx::Error::RowNotFound)
}

/// The state of a job with its result.
#[derive(Clone, Debug)]
pub struct JobStatus {
    pub state: JobState,
    /// The output of a job that succeeded.
    pub output: Option<serde_json::Value>,
    /// The error code of a job that did not.
    pub error_code: Option<String>,
}

/// Returns the state of each of these jobs of the tenant that still exists.
///
/// # Errors
/// As [`find`].
pub async fn statuses(
    conn: &mut PgConnection,
    tenant: TenantId,
    jobs: &[JobId],
) -> Result<HashMap<JobId, JobStatus>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id as "id!: JobId", state as "state!: JobState", output, error_code
           from (
               select id, state, null::jsonb as output, null::text as error_code
               from jobs where tenant_id = $1 and id = any($2)
               union all
               select id, state, output, error_code from finished_jobs where tenant_id = $1 and id = any($2)
           ) job"#,
        tenant.0,
        &jobs.iter().map(|job| job.0).collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await?;
    let statuses = rows.into_iter().map(|row| {
        let status = JobStatus {
            state: row.state,
            output: row.output,
            error_code: row.error_code,
        };
        (row.id, status)
    });
    Ok(statuses.collect())
}

/// Returns the kind of each of these jobs of the tenant that still exists.
pub async fn kinds(
    conn: &mut PgConnection,
    tenant: TenantId,
    jobs: &[JobId],
) -> Result<HashMap<JobId, String>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id as "id!: JobId", kind as "kind!"
           from (
               select id, kind from jobs where tenant_id = $1 and id = any($2)
               union all
               select id, kind from finished_jobs where tenant_id = $1 and id = any($2)
           ) job"#,
        tenant.0,
        &jobs.iter().map(|job| job.0).collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.kind)).collect())
}

/// A row of either table.
pub(super) struct Row {
    pub(super) id: JobId,
    pub(super) kind: String,
    pub(super) queue: String,
    pub(super) state: JobState,
    pub(super) attempts: i32,
    pub(super) max_attempts: i32,
    pub(super) priority: i16,
    pub(super) run_at: DateTime<Utc>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    pub(super) output: Option<serde_json::Value>,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
    pub(super) progress: Option<f32>,
    pub(super) progress_note: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) client_request_id: Option<String>,
    pub(super) parent_id: Option<JobId>,
    pub(super) children: i32,
    pub(super) ended: Option<i64>,
    pub(super) failed: Option<i64>,
}

impl Row {
    pub(super) fn view(self, tenant: TenantId) -> JobView {
        JobView {
            id: self.id,
            tenant,
            kind: self.kind,
            queue: self.queue,
            state: self.state,
            attempts: self.attempts,
            max_attempts: self.max_attempts,
            priority: self.priority,
            run_at: self.run_at,
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            output: self.output,
            error: self.error_code.map(|code| JobError {
                code,
                message: self.error_message.unwrap_or_default(),
            }),
            progress: Progress::stored(self.progress, self.progress_note),
            parent: self.parent_id,
            children: (self.children > 0).then_some(Children {
                total: self.children,
                ended: self.ended.unwrap_or(0),
                failed: self.failed.unwrap_or(0),
            }),
            request_id: self.request_id,
            client_request_id: self.client_request_id,
        }
    }
}
