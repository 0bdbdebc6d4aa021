//! Projects inside a transaction: [`Projects`]. A project goes with its live tasks and comes back with exactly those.

use super::{
    record::{DeskError, Facts, Kept},
    tasks::stored_name,
};
use crate::{
    domain::{
        Action, ProjectId, UserId,
        desk::{NewProject, ProjectChange},
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
impl Kept for Projects {
    const NOUN: &'static str = "project";
    const CREATED: Action = Action::PROJECT_CREATED;
    const UPDATED: Action = Action::PROJECT_UPDATED;
    const DELETED: Action = Action::PROJECT_DELETED;
    const RESTORED: Action = Action::PROJECT_RESTORED;

    type New = NewProject;
    type Change = ProjectChange;
    type Stored = StoredProject;

    fn facts(project: &StoredProject) -> Facts<'_> {
        Facts {
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
    ) -> Result<StoredProject, DeskError> {
        let id = projects::insert(conn, tenant, by, new)
            .await?
            .ok_or_else(|| DeskError::Taken {
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
    ) -> Result<(), DeskError> {
        let name = match &change.name {
            Some(name) => name.clone(),
            None => stored_name(&present.name)?,
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
            .map_err(|error| DeskError::of_write(error, Self::NOUN, name.as_str()))
    }

    async fn hide(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredProject,
    ) -> Result<usize, DeskError> {
        let deletion = Uuid::now_v7();
        projects::set_deletion(conn, tenant, present.id, Some(deletion)).await?;
        let gone = tasks::delete_of_project(conn, tenant, present.id, deletion).await?;
        Ok(gone.len())
    }

    async fn bring_back(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredProject,
    ) -> Result<usize, DeskError> {
        projects::set_deletion(conn, tenant, present.id, None)
            .await
            .map_err(|error| DeskError::of_write(error, Self::NOUN, &present.name))?;
        let Some(deletion) = present.deletion else {
            return Ok(0);
        };
        // No title can be taken: nothing is put into a project that is deleted.
        let back = tasks::restore_of_project(conn, tenant, present.id, deletion).await?;
        Ok(back.len())
    }
}
