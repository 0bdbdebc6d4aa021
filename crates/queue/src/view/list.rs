//! Lists a tenant's jobs in all states, newest first, page by page. Never counts them.

use super::Row;
use crate::{JobState, JobView};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Selects jobs; the default is all of them.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    pub state: Option<JobState>,
    pub kind: Option<String>,
    pub queue: Option<String>,
    pub created_from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub created_before: Option<DateTime<Utc>>,
}

/// Lists up to `limit` jobs older than `before`, newest first, without their outputs, which may be large.
///
/// # Errors
/// If the database fails, or holds a state that this version does not know.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    filter: &ListFilter,
    before: Option<JobId>,
    limit: i64,
) -> Result<Vec<JobView>, sqlx::Error> {
    // Each half reads its primary key backwards and stops at the limit. One statement, so that a job that moves between the
    // tables meanwhile is listed once.
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id!: JobId", kind as "kind!", queue as "queue!", state as "state!: JobState", attempts as "attempts!",
                  max_attempts as "max_attempts!", priority as "priority!", run_at as "run_at!", created_at as "created_at!", started_at, finished_at,
                  null::jsonb as output, error_code, error_message, progress, progress_note, request_id, client_request_id,
                  parent_id as "parent_id: JobId", 0 as "children!", null::bigint as ended, null::bigint as failed
           from (
               (select id, kind, queue, state, errors + (state = 'running')::int as attempts, max_attempts, priority, run_at,
                       created_at, started_at, null::timestamptz as finished_at,
                       last_error_code as error_code, last_error_message as error_message, progress, progress_note, request_id, client_request_id,
                       parent_id
                from jobs
                where tenant_id = $1 and id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
                  and ($3::text is null or state = $3) and ($4::text is null or kind = $4)
                  and ($5::text is null or queue = $5)
                  and ($6::timestamptz is null or created_at >= $6) and ($7::timestamptz is null or created_at < $7)
                order by id desc limit $8)
               union all
               (select id, kind, queue, state, errors + (state = 'succeeded')::int, max_attempts, priority, run_at,
                       created_at, started_at, finished_at, error_code, error_message, null, null, request_id, client_request_id,
                       parent_id
                from finished_jobs
                where tenant_id = $1 and id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
                  and ($3::text is null or state = $3) and ($4::text is null or kind = $4)
                  and ($5::text is null or queue = $5)
                  and ($6::timestamptz is null or created_at >= $6) and ($7::timestamptz is null or created_at < $7)
                order by id desc limit $8)
           ) job
           order by id desc
           limit $8"#,
        tenant.0,
        before.map(|id| id.0),
        filter.state.map(JobState::as_str),
        filter.kind,
        filter.queue,
        filter.created_from,
        filter.created_before,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.view(tenant)).collect())
}
