//! [`find`]: a job of any tenant with its arguments, as its handler would get it. For development: it looks for the id in every
//! tenant's rows.

use crate::{Job, JobState, Lease, TupleId};
use base::{JobId, TenantId, WorkerId};
use sqlx::PgConnection;

/// A job as its handler would get it, and what became of it.
#[derive(Clone, Debug)]
pub struct StoredJob {
    /// Under a lease that no worker holds, so that nothing can be written with it.
    pub job: Job,
    pub state: JobState,
    /// The output of a job that succeeded.
    pub output: Option<serde_json::Value>,
    pub error_code: Option<String>,
}

/// Finds a job by its id alone.
pub async fn find(conn: &mut PgConnection, id: JobId) -> Result<Option<StoredJob>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select tenant_id as "tenant!: TenantId", kind as "kind!", queue as "queue!", state as "state!: JobState", priority as "priority!",
                  attempt as "attempt!", errors as "errors!", crashes as "crashes!", max_attempts as "max_attempts!", args as "args!",
                  run_at as "run_at!", created_at as "created_at!", started_at, parent_id as "parent_id: JobId",
                  children as "children!", request_id, traceparent, output, error_code
           from (
               select tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts, args, run_at, created_at,
                      started_at, parent_id, children, request_id, traceparent, null::jsonb as output, last_error_code as error_code
               from jobs where id = $1
               union all
               select tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts, args, run_at, created_at,
                      started_at, parent_id, children, request_id, traceparent, output, error_code
               from finished_jobs where id = $1
           ) job"#,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(StoredJob {
        state: row.state,
        output: row.output,
        error_code: row.error_code,
        job: Job {
            lease: Lease {
                tenant: row.tenant,
                job: id,
                attempt: row.attempt,
                worker: WorkerId::new(),
            },
            place: TupleId::default(),
            kind: row.kind,
            queue: row.queue,
            priority: row.priority,
            args: row.args,
            parent: row.parent_id,
            children: row.children,
            errors: row.errors,
            crashes: row.crashes,
            max_attempts: row.max_attempts,
            run_at: row.run_at,
            created_at: row.created_at,
            started_at: row.started_at.unwrap_or(row.created_at),
            request_id: row.request_id,
            traceparent: row.traceparent,
        },
    }))
}
