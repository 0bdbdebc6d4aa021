//! The attempts of a job, for its owner.

use base::{JobId, TenantId, WorkerId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// One attempt of a job.
#[derive(Clone, Debug)]
pub struct AttemptView {
    /// Counts every claim, including interruptions and crashes.
    pub attempt: i32,
    pub worker: Option<WorkerId>,
    pub started_at: Option<DateTime<Utc>>,
    /// `None` while the attempt runs.
    pub ended_at: Option<DateTime<Utc>>,
    /// `running`, `succeeded`, `retried`, `discarded`, `cancelled`, `interrupted`, `snoozed`, `waiting` or `crashed`.
    pub outcome: String,
    pub error_code: Option<String>,
    /// A message for the user.
    pub error_message: Option<String>,
}

/// Lists the last `limit` attempts of the tenant's job, oldest first.
pub async fn attempts(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
    limit: i64,
) -> Result<Vec<AttemptView>, sqlx::Error> {
    // The running attempt and the one that succeeded are in the job's own row.
    let mut attempts = sqlx::query_as!(
        AttemptView,
        r#"select attempt as "attempt!", worker_id as "worker: WorkerId", started_at, ended_at, outcome as "outcome!",
                  error_code, error_message
           from (
               select attempt, worker_id, started_at, ended_at, outcome, error_code, error_message
               from job_attempts where job_id = $2 and tenant_id = $1
               union all
               select attempt, worker_id, started_at, null::timestamptz, state, null::text, null::text
               from jobs where tenant_id = $1 and id = $2 and state = 'running'
               union all
               select attempt, worker_id, started_at, finished_at, state, null::text, null::text
               from finished_jobs where tenant_id = $1 and id = $2 and state = 'succeeded'
           ) attempt
           order by attempt desc
           limit $3"#,
        tenant.0,
        job.0,
        limit,
    )
    .fetch_all(conn)
    .await?;
    attempts.reverse();
    Ok(attempts)
}
