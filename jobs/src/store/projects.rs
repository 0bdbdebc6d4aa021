//! `projects`: projects of a tenant. A deleted row stays, hidden from lists, and its name is free.

use crate::domain::{ProjectId, UserId, name::Name, projects::NewProject, tasks::Progress};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A stored project.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredProject {
    pub id: ProjectId,
    pub name: String,
    pub status: Progress,
    pub notes: Option<String>,
    /// Incremented by every change.
    pub version: i32,
    pub created_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    pub deletion: Option<Uuid>,
}

/// Inserts a project. `None` if the name is taken.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    by: Option<UserId>,
    new: &NewProject,
) -> Result<Option<ProjectId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into projects (tenant_id, id, name, name_key, status, notes, created_by)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (tenant_id, name_key) where deleted_at is null do nothing
        returning id as "id: ProjectId"
        "#,
        tenant.0,
        ProjectId::new().0,
        new.name.as_str(),
        new.name.key(),
        new.status.as_str(),
        new.notes.as_deref(),
        by.map(|user| user.0),
    )
    .fetch_optional(conn)
    .await
}

/// Finds a project, also a deleted one.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ProjectId,
) -> Result<Option<StoredProject>, sqlx::Error> {
    sqlx::query_as!(
        StoredProject,
        r#"
        select id as "id: ProjectId", name, status as "status: Progress", notes, version,
            created_by as "created_by: UserId", created_at, updated_at, deleted_at, deletion_id as deletion
        from projects
        where tenant_id = $1 and id = $2
        "#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the live project with this name, and locks it against deletion until the transaction ends.
pub async fn named(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &Name,
) -> Result<Option<ProjectId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: ProjectId" from projects
           where tenant_id = $1 and name_key = $2 and deleted_at is null for share"#,
        tenant.0,
        name.key(),
    )
    .fetch_optional(conn)
    .await
}

/// Whether it is live; locks it against deletion until the transaction ends.
pub async fn hold(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ProjectId,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!(
        "select id from projects where tenant_id = $1 and id = $2 and deleted_at is null for share",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// Locks the row against changes and new tasks until the transaction ends. False if there is none.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ProjectId,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!(
        "select id from projects where tenant_id = $1 and id = $2 for update",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// Lists live projects, newest first, starting after `before`.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    status: Option<Progress>,
    before: Option<ProjectId>,
    limit: i64,
) -> Result<Vec<StoredProject>, sqlx::Error> {
    sqlx::query_as!(
        StoredProject,
        r#"
        select id as "id: ProjectId", name, status as "status: Progress", notes, version,
            created_by as "created_by: UserId", created_at, updated_at, deleted_at, deletion_id as deletion
        from projects
        where tenant_id = $1 and deleted_at is null and ($2::uuid is null or id < $2)
            and ($3::text is null or status = $3)
        order by id desc
        limit $4
        "#,
        tenant.0,
        before.map(|id| id.0),
        status.map(Progress::as_str),
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Writes all fields of `project` that can change, as its next version. The caller holds [`lock`].
///
/// # Errors
/// When the database refuses, for example because the name is taken (`projects_name_key`).
pub async fn update(
    conn: &mut PgConnection,
    tenant: TenantId,
    project: &StoredProject,
    name: &Name,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update projects set name = $3, name_key = $4, status = $5, notes = $6, version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.0,
        project.id.0,
        name.as_str(),
        name.key(),
        project.status.as_str(),
        project.notes.as_deref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Hides a live project under this deletion, or with `None` restores it. The caller holds [`lock`].
///
/// # Errors
/// When the database refuses, for example because the name is taken by now (`projects_name_key`).
pub async fn set_deletion(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ProjectId,
    deletion: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update projects set deletion_id = $3, deleted_at = case when $3::uuid is null then null else now() end,
             version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        deletion,
    )
    .execute(conn)
    .await?;
    Ok(())
}
