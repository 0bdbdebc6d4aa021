//! `create_task`, `update_task` and `link`: change tasks.

use super::{
    ActionContext, LocalEffect,
    record::{id_and_version, moved_on, name, refusal, text_before, unreadable},
};
use async_trait::async_trait;
use base::TenantId;
use jobs::{
    commands::{
        effects::local::{Done, Refusal},
        record::{self, Record, RecordError, Reference},
        tasks::Tasks,
    },
    domain::{
        TaskId,
        judgement::Priority,
        name::TITLE_CHARS,
        projects::NAME_CHARS,
        tasks::{NewTask, Progress, ProjectRef, TaskChange, due_on},
    },
    store::effects::StoredEffect,
};
use serde_json::{Value, json};
use sqlx::{Acquire, PgConnection};

pub(super) struct CreateTask;

#[async_trait]
impl LocalEffect for CreateTask {
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let project = match action.params.get("project") {
            Some(_) => ProjectRef::Named(name(action, "project", NAME_CHARS)?),
            None => ProjectRef::None,
        };
        let here = action.zone(conn).await?;
        let today = action.now.with_timezone(&here).date_naive();
        let param = |field| action.params.get(field);
        let due = param("due").and_then(|due| due_on(due, today));
        // An unreadable date is kept as a note.
        let unread = param("due").filter(|_| due.is_none());
        let notes: Vec<String> = param("notes")
            .map(str::to_owned)
            .into_iter()
            .chain(unread.map(|due| format!("Due: {due}")))
            .collect();
        let new = NewTask {
            project,
            priority: param("priority")
                .and_then(Priority::parse)
                .unwrap_or(Priority::Medium),
            due_on: due,
            notes: (!notes.is_empty()).then(|| notes.join("\n")),
            message: action.message,
            ..NewTask::titled(name(action, "title", TITLE_CHARS)?)
        };
        let mut inner = conn.begin().await?;
        let created = match Tasks::create(&mut inner, action.tenant, action.user, &new).await {
            // The email may be deleted before the approval; the task is created anyway.
            Err(RecordError::Unknown(Reference::Message)) => {
                inner.rollback().await?;
                let new = NewTask {
                    message: None,
                    ..new
                };
                Tasks::create(conn, action.tenant, action.user, &new)
                    .await
                    .map_err(refusal)?
            }
            created => {
                let created = created.map_err(refusal)?;
                inner.commit().await?;
                created
            }
        };
        Ok(Done {
            receipt: json!({ "id": created.id, "version": created.version }),
            before_image: None,
        })
    }

    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        let (id, version) = id_and_version(done)?;
        record::delete::<Tasks>(conn, tenant, id, Some(&version.into()))
            .await
            .map(drop)
            .map_err(moved_on)
    }
}

pub(super) struct UpdateTask;

#[async_trait]
impl LocalEffect for UpdateTask {
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let word = action.params.get("status").unwrap_or_default();
        let Some(status) = Progress::read(word) else {
            let known: Vec<_> = Progress::ALL.iter().map(|it| it.as_str()).collect();
            let message = format!("Use one of: {}.", known.join(", "));
            return Err(Refusal::refused("unknown_status", message));
        };
        let reference = action.params.get("task_id").unwrap_or_default();
        let id = Tasks::meant(conn, action.tenant, reference)
            .await
            .map_err(refusal)?;
        let change = TaskChange {
            status: Some(status),
            ..TaskChange::default()
        };
        let changed = record::change::<Tasks>(conn, action.tenant, id.0, None, &change)
            .await
            .map_err(refusal)?;
        Ok(Done {
            receipt: json!({ "id": id, "version": changed.after.version }),
            before_image: Some(json!({ "status": changed.before.status })),
        })
    }

    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        let (id, version) = id_and_version(done)?;
        let status = text_before(done, "status").and_then(Progress::parse);
        let change = TaskChange {
            status: Some(status.ok_or_else(unreadable)?),
            ..TaskChange::default()
        };
        record::change::<Tasks>(conn, tenant, id, Some(&version.into()), &change)
            .await
            .map(drop)
            .map_err(moved_on)
    }
}

pub(super) struct Link;

#[async_trait]
impl LocalEffect for Link {
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let message = action.message.ok_or_else(|| {
            Refusal::refused("message_required", "Give `message_id`: the email to link.")
        })?;
        let reference = action.params.get("task_id").unwrap_or_default();
        let id = Tasks::meant(conn, action.tenant, reference)
            .await
            .map_err(refusal)?;
        let is_new = Tasks::link(conn, action.tenant, id, message)
            .await
            .map_err(refusal)?;
        Ok(Done {
            receipt: json!({ "id": id, "version": 0, "message_id": message, "new": is_new }),
            before_image: None,
        })
    }

    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        let (id, _) = id_and_version(done)?;
        let receipt = done.receipt.as_ref().ok_or_else(unreadable)?;
        let message = receipt["message_id"]
            .as_str()
            .and_then(|id| id.parse().ok());
        if receipt["new"] == Value::Bool(true) {
            let message = message.ok_or_else(unreadable)?;
            Tasks::unlink(conn, tenant, TaskId(id), message)
                .await
                .map_err(moved_on)?;
        }
        Ok(())
    }
}
