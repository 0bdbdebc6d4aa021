//! Projects inside a transaction: [`Projects`]. Deleting a project deletes its live tasks; restoring it restores
//! exactly those.

use super::record::{Record, RecordError, RecordFacts};
use crate::domain::ResourceKind;
use crate::{
    domain::{
        AuditAction, ProjectId, UserId,
        projects::{NewProject, ProjectChange},
    },
    store::{
        projects::{self, StoredProject},
        tasks,
    },
};
use async_trait::async_trait;
use base::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

/// See the module.
pub struct Projects;

#[async_trait]
impl Record for Projects {
    const KIND: ResourceKind = ResourceKind::Project;
    const CREATED: AuditAction = AuditAction::ProjectCreated;
    const UPDATED: AuditAction = AuditAction::ProjectUpdated;
    const DELETED: AuditAction = AuditAction::ProjectDeleted;
    const RESTORED: AuditAction = AuditAction::ProjectRestored;

    type New = NewProject;
    type Change = ProjectChange;
    type Stored = StoredProject;

    fn facts(project: &StoredProject) -> RecordFacts<'_> {
        RecordFacts {
            id: project.id.0,
            name: &project.name,
            version: project.version,
            deletion: project.deletion,
        }
    }

    async fn find(
        conn: &mut PgConnection,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Option<StoredProject>, sqlx::Error> {
        projects::find(conn, tenant, ProjectId(id)).await
    }

    async fn lock(
        conn: &mut PgConnection,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<bool, sqlx::Error> {
        projects::lock(conn, tenant, ProjectId(id)).await
    }

    async fn create(
        conn: &mut PgConnection,
        tenant: TenantId,
        by: Option<UserId>,
        new: &NewProject,
    ) -> Result<StoredProject, RecordError> {
        let id = projects::insert(conn, tenant, by, new)
            .await?
            .ok_or_else(|| RecordError::Taken {
                noun: Self::NOUN,
                name: new.name.as_str().to_owned(),
            })?;
        super::record::found::<Self>(conn, tenant, id.0).await
    }

    async fn write(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredProject,
        change: &ProjectChange,
    ) -> Result<(), RecordError> {
        let name = match &change.name {
            Some(name) => name.clone(),
            None => super::record::stored_name(&present.name)?,
        };
        let project = StoredProject {
            status: change.status.unwrap_or(present.status),
            notes: change
                .notes
                .clone()
                .unwrap_or_else(|| present.notes.clone()),
            ..present.clone()
        };
        projects::update(conn, tenant, &project, &name)
            .await
            .map_err(|error| RecordError::of_write(error, Self::NOUN, name.as_str()))
    }

    async fn hide(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredProject,
    ) -> Result<usize, RecordError> {
        let deletion = Uuid::now_v7();
        projects::set_deletion(conn, tenant, present.id, Some(deletion)).await?;
        let gone = tasks::delete_of_project(conn, tenant, present.id, deletion).await?;
        Ok(gone.len())
    }

    async fn bring_back(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredProject,
    ) -> Result<usize, RecordError> {
        projects::set_deletion(conn, tenant, present.id, None)
            .await
            .map_err(|error| RecordError::of_write(error, Self::NOUN, &present.name))?;
        let Some(deletion) = present.deletion else {
            return Ok(0);
        };
        // No title can be taken: nothing is added to a deleted project.
        let back = tasks::restore_of_project(conn, tenant, present.id, deletion).await?;
        Ok(back.len())
    }
}
