//! `tasks`: tasks of a tenant. A deleted row stays, hidden from lists, and its title is free.

use crate::domain::{
    MessageId, ProjectId, TaskId, UserId,
    judgement::Priority,
    name::Name,
    tasks::{NewTask, Progress},
};
use base::TenantId;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A stored task.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTask {
    pub id: TaskId,
    pub project: Option<ProjectId>,
    pub title: String,
    pub status: Progress,
    pub priority: Priority,
    pub due_on: Option<NaiveDate>,
    pub notes: Option<String>,
    /// The messages that it is about.
    pub messages: Vec<MessageId>,
    /// Incremented by every change.
    pub version: i32,
    pub created_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    /// Shared by the rows of one deletion.
    pub deletion: Option<Uuid>,
}

/// Filters for [`list`], which returns no deleted tasks.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub project: Option<ProjectId>,
    pub status: Option<Progress>,
}

/// Inserts a task. `None` if its project has a task with this title.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    by: Option<UserId>,
    project: Option<ProjectId>,
    new: &NewTask,
) -> Result<Option<TaskId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into tasks (tenant_id, id, project_id, title, title_key, status, priority, due_on, notes, created_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        on conflict (tenant_id, project_id, title_key) where deleted_at is null do nothing
        returning id as "id: TaskId"
        "#,
        tenant.0,
        TaskId::new().0,
        project.map(|project| project.0),
        new.title.as_str(),
        new.title.key(),
        new.status.as_str(),
        new.priority.as_str(),
        new.due_on,
        new.notes.as_deref(),
        by.map(|user| user.0),
    )
    .fetch_optional(conn)
    .await
}

/// Finds a task, also a deleted one.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: TaskId,
) -> Result<Option<StoredTask>, sqlx::Error> {
    sqlx::query_as!(
        StoredTask,
        r#"
        select id as "id: TaskId", project_id as "project: ProjectId", title, status as "status: Progress",
            priority as "priority: Priority", due_on, notes,
            array(select message_id from task_messages m where m.tenant_id = t.tenant_id and m.task_id = t.id
                  order by message_id) as "messages!: Vec<MessageId>",
            version, created_by as "created_by: UserId", created_at, updated_at, deleted_at,
            deletion_id as deletion
        from tasks t
        where tenant_id = $1 and id = $2
        "#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Locks the row until the transaction ends. False if there is none.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: TaskId,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!(
        "select id from tasks where tenant_id = $1 and id = $2 for update",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// Finds the live tasks with this title in all projects, at most two: a second one makes the title ambiguous.
pub async fn titled(
    conn: &mut PgConnection,
    tenant: TenantId,
    title: &Name,
) -> Result<Vec<TaskId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: TaskId" from tasks
           where tenant_id = $1 and title_key = $2 and deleted_at is null order by id limit 2"#,
        tenant.0,
        title.key(),
    )
    .fetch_all(conn)
    .await
}

/// Whether a live task of the project with this name, or of none, has this title.
pub async fn is_taken(
    conn: &mut PgConnection,
    tenant: TenantId,
    project: Option<&Name>,
    title: &Name,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from tasks task
               left join projects project on project.tenant_id = task.tenant_id and project.id = task.project_id
               where task.tenant_id = $1 and task.title_key = $2 and task.deleted_at is null
                   and project.name_key is not distinct from $3) as "taken!""#,
        tenant.0,
        title.key(),
        project.map(Name::key),
    )
    .fetch_one(conn)
    .await
}

/// Lists live tasks, newest first, starting after `before`.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    filter: &TaskFilter,
    before: Option<TaskId>,
    limit: i64,
) -> Result<Vec<StoredTask>, sqlx::Error> {
    sqlx::query_as!(
        StoredTask,
        r#"
        select id as "id: TaskId", project_id as "project: ProjectId", title, status as "status: Progress",
            priority as "priority: Priority", due_on, notes,
            array(select message_id from task_messages m where m.tenant_id = t.tenant_id and m.task_id = t.id
                  order by message_id) as "messages!: Vec<MessageId>",
            version, created_by as "created_by: UserId", created_at, updated_at, deleted_at,
            deletion_id as deletion
        from tasks t
        where tenant_id = $1 and deleted_at is null and ($2::uuid is null or id < $2)
            and ($3::uuid is null or project_id = $3) and ($4::text is null or status = $4)
        order by id desc
        limit $5
        "#,
        tenant.0,
        before.map(|id| id.0),
        filter.project.map(|project| project.0),
        filter.status.map(Progress::as_str),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Writes all fields of `task` that can change, as its next version. The caller holds [`lock`], and the title was
/// parsed as a [`Name`].
///
/// # Errors
/// When the database refuses, for example because the title is taken (`tasks_title_key`).
pub async fn update(
    conn: &mut PgConnection,
    tenant: TenantId,
    task: &StoredTask,
    title: &Name,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tasks set project_id = $3, title = $4, title_key = $5, status = $6, priority = $7, due_on = $8,
             notes = $9, version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.0,
        task.id.0,
        task.project.map(|project| project.0),
        title.as_str(),
        title.key(),
        task.status.as_str(),
        task.priority.as_str(),
        task.due_on,
        task.notes.as_deref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Hides a live task under this deletion.
pub async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: TaskId,
    deletion: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tasks set deleted_at = now(), deletion_id = $3, version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2 and deleted_at is null",
        tenant.0,
        id.0,
        deletion,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Hides the live tasks of a project under its deletion, and returns them.
pub async fn delete_of_project(
    conn: &mut PgConnection,
    tenant: TenantId,
    project: ProjectId,
    deletion: Uuid,
) -> Result<Vec<TaskId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update tasks set deleted_at = now(), deletion_id = $3, version = version + 1, updated_at = now()
           where tenant_id = $1 and project_id = $2 and deleted_at is null
           returning id as "id: TaskId""#,
        tenant.0,
        project.0,
        deletion,
    )
    .fetch_all(conn)
    .await
}

/// Restores a task. The caller holds [`lock`].
///
/// # Errors
/// When the database refuses, for example because the title is taken by now (`tasks_title_key`).
pub async fn restore_one(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: TaskId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tasks set deleted_at = null, deletion_id = null, version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Restores the tasks that were deleted with their project by this deletion, and no others.
pub async fn restore_of_project(
    conn: &mut PgConnection,
    tenant: TenantId,
    project: ProjectId,
    deletion: Uuid,
) -> Result<Vec<TaskId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update tasks set deleted_at = null, deletion_id = null, version = version + 1, updated_at = now()
           where tenant_id = $1 and project_id = $2 and deletion_id = $3
           returning id as "id: TaskId""#,
        tenant.0,
        project.0,
        deletion,
    )
    .fetch_all(conn)
    .await
}
