//! Children: jobs that another job enqueued and may wait for, without holding a slot.
//!
//! A parent waits as a scheduled job that is never due. Whether it may resume is read from its children's rows, never from a
//! counter that could be wrong: [`resume_parent`] checks after a child has finished, [`crate::claim::poll`] at every poll.

use crate::{JobError, JobState};
use base::{JobId, TenantId};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

/// The outcome of a finished child.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildOutcome {
    pub job: JobId,
    pub state: JobState,
    /// The output of a child that succeeded.
    pub output: Option<Value>,
    /// The error of a child that did not succeed.
    pub error: Option<JobError>,
}

/// Makes a job wait for its children before its first attempt. The job and the children were enqueued in this
/// transaction.
pub async fn await_children(
    conn: &mut PgConnection,
    tenant: TenantId,
    parent: JobId,
    children: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update jobs set state = 'scheduled', awaits_children = true, children = $3
         where tenant_id = $1 and id = $2 and state = 'available'",
        tenant.0,
        parent.0,
        children,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes the parent available again if all of its children have finished, and returns its queue if this call did so.
///
/// Call it after the commit that finished a child: of two children that finish at once, the later commit sees both.
///
/// # Errors
/// If the database fails; the next poll checks again.
pub async fn resume_parent<'c>(
    executor: impl PgExecutor<'c>,
    tenant: TenantId,
    parent: JobId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "update jobs set state = 'available', awaits_children = false, run_at = now()
         where tenant_id = $1 and id = $2 and awaits_children and state = 'scheduled'
           and not exists (select from jobs child where child.parent_id = jobs.id and child.tenant_id = jobs.tenant_id)
         returning queue",
        tenant.0,
        parent.0,
    )
    .fetch_optional(executor)
    .await
}

/// Lists the finished children in the order of their enqueues.
///
/// # Errors
/// If the database fails, or holds a state that this version does not know.
pub async fn outcomes(
    conn: &mut PgConnection,
    tenant: TenantId,
    parent: JobId,
) -> Result<Vec<ChildOutcome>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id as "id: JobId", state as "state: JobState", output, error_code, error_message
           from finished_jobs where parent_id = $2 and tenant_id = $1 order by id"#,
        tenant.0,
        parent.0,
    )
    .fetch_all(conn)
    .await?;
    let outcomes = rows.into_iter().map(|row| ChildOutcome {
        job: row.id,
        state: row.state,
        output: row.output,
        error: row.error_code.map(|code| JobError {
            code,
            message: row.error_message.unwrap_or_default(),
        }),
    });
    Ok(outcomes.collect())
}

/// Lists the children that have not finished.
pub async fn unfinished(
    conn: &mut PgConnection,
    tenant: TenantId,
    parent: JobId,
) -> Result<Vec<JobId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: JobId" from jobs where parent_id = $2 and tenant_id = $1 order by id"#,
        tenant.0,
        parent.0,
    )
    .fetch_all(conn)
    .await
}
