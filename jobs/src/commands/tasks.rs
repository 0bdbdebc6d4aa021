//! Tasks inside a transaction: [`Tasks`]. A task belongs to a live project or to none, and its title is unique there.

use super::{
    projects::Projects,
    record::{Record, RecordError, RecordFacts, Reference},
};
use crate::domain::ResourceKind;
use crate::{
    domain::{
        AuditAction, MessageId, ProjectId, TaskId, UserId,
        name::{Name, TITLE_CHARS},
        projects::NewProject,
        tasks::{NewTask, Progress, ProjectRef, TaskChange},
    },
    store::{
        projects, task_messages,
        tasks::{self, StoredTask},
    },
};
use async_trait::async_trait;
use base::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

/// See the module.
pub struct Tasks;

#[async_trait]
impl Record for Tasks {
    const KIND: ResourceKind = ResourceKind::Task;
    const CREATED: AuditAction = AuditAction::TaskCreated;
    const UPDATED: AuditAction = AuditAction::TaskUpdated;
    const DELETED: AuditAction = AuditAction::TaskDeleted;
    const RESTORED: AuditAction = AuditAction::TaskRestored;

    type New = NewTask;
    type Change = TaskChange;
    type Stored = StoredTask;

    fn facts(task: &StoredTask) -> RecordFacts<'_> {
        RecordFacts {
            id: task.id.0,
            name: &task.title,
            version: task.version,
            deletion: task.deletion,
        }
    }

    async fn find(
        conn: &mut PgConnection,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Option<StoredTask>, sqlx::Error> {
        tasks::find(conn, tenant, TaskId(id)).await
    }

    async fn lock(
        conn: &mut PgConnection,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<bool, sqlx::Error> {
        tasks::lock(conn, tenant, TaskId(id)).await
    }

    async fn create(
        conn: &mut PgConnection,
        tenant: TenantId,
        by: Option<UserId>,
        new: &NewTask,
    ) -> Result<StoredTask, RecordError> {
        let project = match &new.project {
            ProjectRef::None => None,
            ProjectRef::Id(id) => Some(hold(conn, tenant, *id).await?),
            ProjectRef::Named(name) => Some(found_or_made(conn, tenant, by, name).await?),
        };
        let id = tasks::insert(conn, tenant, by, project, new)
            .await?
            .ok_or_else(|| Self::taken(&new.title))?;
        if let Some(message) = new.message
            && !task_messages::insert(conn, tenant, id, message).await?
        {
            return Err(RecordError::Unknown(Reference::Message));
        }
        super::record::found::<Self>(conn, tenant, id.0).await
    }

    async fn write(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredTask,
        change: &TaskChange,
    ) -> Result<(), RecordError> {
        let title = match &change.title {
            Some(title) => title.clone(),
            None => super::record::stored_name(&present.title)?,
        };
        let project = match change.project {
            Some(Some(project)) => Some(hold(conn, tenant, project).await?),
            Some(None) => None,
            None => present.project,
        };
        let task = StoredTask {
            project,
            status: change.status.unwrap_or(present.status),
            priority: change.priority.unwrap_or(present.priority),
            due_on: change.due_on.unwrap_or(present.due_on),
            notes: change
                .notes
                .clone()
                .unwrap_or_else(|| present.notes.clone()),
            ..present.clone()
        };
        tasks::update(conn, tenant, &task, &title)
            .await
            .map_err(|error| RecordError::of_write(error, Self::NOUN, title.as_str()))
    }

    async fn hide(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredTask,
    ) -> Result<usize, RecordError> {
        tasks::delete(conn, tenant, present.id, Uuid::now_v7()).await?;
        Ok(0)
    }

    async fn bring_back(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredTask,
    ) -> Result<usize, RecordError> {
        if let Some(project) = present.project
            && !projects::hold(conn, tenant, project).await?
        {
            return Err(RecordError::Deleted(Projects::NOUN));
        }
        tasks::restore_one(conn, tenant, present.id)
            .await
            .map_err(|error| RecordError::of_write(error, Self::NOUN, &present.title))?;
        Ok(0)
    }
}

impl Tasks {
    pub(in crate::commands) fn taken(title: &Name) -> RecordError {
        RecordError::Taken {
            noun: Self::NOUN,
            name: title.as_str().to_owned(),
        }
    }

    /// Finds a live task by its id or its title.
    ///
    /// # Errors
    /// [`RecordError::Ambiguous`] if several tasks have the title.
    pub async fn meant(
        conn: &mut PgConnection,
        tenant: TenantId,
        text: &str,
    ) -> Result<TaskId, RecordError> {
        if let Ok(id) = text.parse::<TaskId>() {
            let found = tasks::find(conn, tenant, id).await?;
            return match found {
                Some(task) if task.deletion.is_none() => Ok(id),
                Some(_) => Err(RecordError::Deleted(Self::NOUN)),
                None => Err(RecordError::NotFound(Self::NOUN)),
            };
        }
        let Ok(title) = Name::parse(text, TITLE_CHARS) else {
            return Err(RecordError::NotFound(Self::NOUN));
        };
        match tasks::titled(conn, tenant, &title).await?.as_slice() {
            [] => Err(RecordError::NotFound(Self::NOUN)),
            [one] => Ok(*one),
            _ => Err(RecordError::Ambiguous {
                noun: Self::NOUN,
                name: title.as_str().to_owned(),
            }),
        }
    }

    /// Links a message to a live task. False if it was linked before: then there is nothing to undo.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] if the tenant has no such task, [`RecordError::Unknown`] if it has no such message.
    pub async fn link(
        conn: &mut PgConnection,
        tenant: TenantId,
        task: TaskId,
        message: MessageId,
    ) -> Result<bool, RecordError> {
        let task = super::record::live::<Self>(conn, tenant, task.0, None).await?;
        if task.messages.contains(&message) {
            return Ok(false);
        }
        if task_messages::insert(conn, tenant, task.id, message).await? {
            Ok(true)
        } else {
            Err(RecordError::Unknown(Reference::Message))
        }
    }

    /// Removes a link. False if there was none.
    pub async fn unlink(
        conn: &mut PgConnection,
        tenant: TenantId,
        task: TaskId,
        message: MessageId,
    ) -> Result<bool, RecordError> {
        Ok(task_messages::delete(conn, tenant, task, message).await?)
    }
}

async fn hold(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ProjectId,
) -> Result<ProjectId, RecordError> {
    if projects::hold(conn, tenant, id).await? {
        Ok(id)
    } else {
        Err(RecordError::Unknown(Reference::Project))
    }
}

/// Finds or creates the project; two callers at once get the same one.
async fn found_or_made(
    conn: &mut PgConnection,
    tenant: TenantId,
    by: Option<UserId>,
    name: &Name,
) -> Result<ProjectId, RecordError> {
    if let Some(found) = projects::named(conn, tenant, name).await? {
        return Ok(found);
    }
    let new = NewProject {
        name: name.clone(),
        status: Progress::Ready,
        notes: None,
    };
    if let Some(made) = projects::insert(conn, tenant, by, &new).await? {
        return Ok(made);
    }
    projects::named(conn, tenant, name)
        .await?
        .ok_or(RecordError::Unknown(Reference::Project))
}
