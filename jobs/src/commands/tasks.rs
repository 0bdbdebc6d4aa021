//! Tasks inside a transaction: [`Tasks`]. A task is made in a live project or in none, and its title is its own there.

use super::{
    projects::Projects,
    record::{DeskError, Facts, Kept},
};
use crate::{
    domain::{
        Action, MessageId, ProjectId, TaskId, UserId,
        desk::{InProject, Name, NewProject, NewTask, Progress, TITLE_CHARS, TaskChange},
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
impl Kept for Tasks {
    const NOUN: &'static str = "task";
    const CREATED: Action = Action::TASK_CREATED;
    const UPDATED: Action = Action::TASK_UPDATED;
    const DELETED: Action = Action::TASK_DELETED;
    const RESTORED: Action = Action::TASK_RESTORED;

    type New = NewTask;
    type Change = TaskChange;
    type Stored = StoredTask;

    fn facts(task: &StoredTask) -> Facts<'_> {
        Facts {
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
    ) -> Result<StoredTask, DeskError> {
        let project = match &new.project {
            InProject::None => None,
            InProject::Id(id) => Some(hold(conn, tenant, *id).await?),
            InProject::Named(name) => Some(found_or_made(conn, tenant, by, name).await?),
        };
        let id = tasks::insert(conn, tenant, by, project, new)
            .await?
            .ok_or_else(|| Self::taken(&new.title))?;
        if let Some(message) = new.message
            && !task_messages::insert(conn, tenant, id, message).await?
        {
            return Err(DeskError::Unknown("mail"));
        }
        super::record::found::<Self>(conn, tenant, id.0).await
    }

    async fn write(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredTask,
        change: &TaskChange,
    ) -> Result<(), DeskError> {
        let title = match &change.title {
            Some(title) => title.clone(),
            None => stored_name(&present.title)?,
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
            .map_err(|error| DeskError::of_write(error, Self::NOUN, title.as_str()))
    }

    async fn hide(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredTask,
    ) -> Result<usize, DeskError> {
        tasks::delete(conn, tenant, present.id, Uuid::now_v7()).await?;
        Ok(0)
    }

    async fn bring_back(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredTask,
    ) -> Result<usize, DeskError> {
        if let Some(project) = present.project
            && !projects::hold(conn, tenant, project).await?
        {
            return Err(DeskError::Deleted(Projects::NOUN));
        }
        tasks::restore_one(conn, tenant, present.id)
            .await
            .map_err(|error| DeskError::of_write(error, Self::NOUN, &present.title))?;
        Ok(0)
    }
}

impl Tasks {
    pub(in crate::commands) fn taken(title: &Name) -> DeskError {
        DeskError::Taken {
            noun: Self::NOUN,
            name: title.as_str().to_owned(),
        }
    }

    /// The live task that is meant by its id or its title.
    ///
    /// # Errors
    /// [`DeskError::Ambiguous`] if the title is that of several.
    pub async fn meant(
        conn: &mut PgConnection,
        tenant: TenantId,
        text: &str,
    ) -> Result<TaskId, DeskError> {
        if let Ok(id) = text.parse::<TaskId>() {
            let found = tasks::find(conn, tenant, id).await?;
            return match found {
                Some(task) if task.deletion.is_none() => Ok(id),
                Some(_) => Err(DeskError::Deleted(Self::NOUN)),
                None => Err(DeskError::NotFound(Self::NOUN)),
            };
        }
        let Ok(title) = Name::parse(text, TITLE_CHARS) else {
            return Err(DeskError::NotFound(Self::NOUN));
        };
        match tasks::titled(conn, tenant, &title).await?.as_slice() {
            [] => Err(DeskError::NotFound(Self::NOUN)),
            [one] => Ok(*one),
            _ => Err(DeskError::Ambiguous {
                noun: Self::NOUN,
                name: title.as_str().to_owned(),
            }),
        }
    }

    /// Ties a mail to a live task. False if it was tied to it before: then there is nothing to take back.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] if the tenant has no such task, [`DeskError::Unknown`] if it has no such mail.
    pub async fn link(
        conn: &mut PgConnection,
        tenant: TenantId,
        task: TaskId,
        message: MessageId,
    ) -> Result<bool, DeskError> {
        let task = super::record::live::<Self>(conn, tenant, task.0, None).await?;
        if task.messages.contains(&message) {
            return Ok(false);
        }
        if task_messages::insert(conn, tenant, task.id, message).await? {
            Ok(true)
        } else {
            Err(DeskError::Unknown("mail"))
        }
    }

    /// Takes a link back. False if there was none.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn unlink(
        conn: &mut PgConnection,
        tenant: TenantId,
        task: TaskId,
        message: MessageId,
    ) -> Result<bool, DeskError> {
        Ok(task_messages::delete(conn, tenant, task, message).await?)
    }
}

async fn hold(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ProjectId,
) -> Result<ProjectId, DeskError> {
    if projects::hold(conn, tenant, id).await? {
        Ok(id)
    } else {
        Err(DeskError::Unknown(Projects::NOUN))
    }
}

/// Two that name the same new project at once get the same one.
async fn found_or_made(
    conn: &mut PgConnection,
    tenant: TenantId,
    by: Option<UserId>,
    name: &Name,
) -> Result<ProjectId, DeskError> {
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
        .ok_or(DeskError::Unknown(Projects::NOUN))
}

/// A name that was one when it was written.
pub(super) fn stored_name(text: &str) -> Result<Name, DeskError> {
    Name::parse(text, TITLE_CHARS)
        .map_err(|fault| DeskError::Database(sqlx::Error::Decode(Box::new(fault))))
}
