//! `task_messages`: the messages that a task is about.

use crate::domain::{MessageId, TaskId};
use base::TenantId;
use sqlx::PgConnection;

/// Links a message to a task. False if it was linked before, or the tenant has no such message.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    task: TaskId,
    message: MessageId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into task_messages (tenant_id, task_id, message_id)
         select tenant_id, $2, id from messages where tenant_id = $1 and id = $3
         on conflict do nothing",
        tenant.0,
        task.0,
        message.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes the link. False if there was none.
pub async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    task: TaskId,
    message: MessageId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from task_messages where tenant_id = $1 and task_id = $2 and message_id = $3",
        tenant.0,
        task.0,
        message.0,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
