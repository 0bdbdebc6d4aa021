//! Jobs that other jobs enqueued, and parents that wait for them without holding a slot.
//!
//! A parent waits as a scheduled job that is never due. Whether it may go on is read from its children's rows and counted
//! nowhere, so that nothing can be miscounted: [`wake`] asks after a child has ended, [`crate::claim::poll`] asks at every poll.

use crate::{JobError, JobState};
use base::{JobId, TenantId};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

/// How a child has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildOutcome {
    pub job: JobId,
    pub state: JobState,
    /// Of one that succeeded.
    pub output: Option<Value>,
    /// Of one that did not.
    pub error: Option<JobError>,
}

/// Lets a job that was enqueued in this transaction wait for so many children, enqueued in it too, before its first
/// attempt.
///
/// # Errors
/// If the database cannot be asked.
pub async fn await_from_the_start(
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

/// Puts the parent back into line if all of its children have ended; returns its queue if this call did. To be asked
/// after the commit that ended a child: of two children that end at once, the later commit sees both.
///
/// # Errors
/// If the database cannot be asked; the next poll asks again.
pub async fn wake<'c>(
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

/// The children that have ended, in the order in which they were enqueued.
///
/// # Errors
/// If the database cannot be asked, or holds a state this version does not know.
pub async fn outcomes(
    conn: &mut PgConnection,
    tenant: TenantId,
    parent: JobId,
) -> Result<Vec<ChildOutcome>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id as "id: JobId", state, output, error_code, error_message
           from finished_jobs where parent_id = $2 and tenant_id = $1 order by id"#,
        tenant.0,
        parent.0,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let state = JobState::parse(&row.state).ok_or_else(|| {
                sqlx::Error::Decode(format!("unknown job state {}", row.state).into())
            })?;
            Ok(ChildOutcome {
                job: row.id,
                state,
                output: row.output,
                error: row.error_code.map(|code| JobError {
                    code,
                    message: row.error_message.unwrap_or_default(),
                }),
            })
        })
        .collect()
}

/// The children that have not ended.
///
/// # Errors
/// If the database cannot be asked.
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
