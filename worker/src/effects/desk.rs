//! `create_task`, `update_task`, `link` and `upsert_contact`: what people keep on their desk, changed by actions.

use super::{Doing, LocalEffect};
use async_trait::async_trait;
use base::TenantId;
use jobs::{
    commands::{
        contacts::{Contacts, Upserted},
        effects::local::{Done, Refusal},
        record::{self, Record, RecordError},
        tasks::Tasks,
    },
    domain::{
        TaskId,
        contacts::{ContactChange, NewContact},
        invite::EmailAddress,
        judgement::Priority,
        name::{Name, TITLE_CHARS},
        projects,
        tasks::{NewTask, Progress, ProjectRef, TaskChange, due_on},
    },
    store::effects::StoredEffect,
};
use serde_json::{Value, json};
use sqlx::{Acquire, PgConnection};
use uuid::Uuid;

/// The desk's refusal as the ledger's.
pub(super) fn told(error: RecordError) -> Refusal {
    match error {
        RecordError::Database(error) => Refusal::Database(error),
        other => Refusal::refused(other.code(), other.user_message()),
    }
}

/// Taken back is what nobody has touched since.
pub(super) fn moved_on(error: RecordError) -> Refusal {
    match error {
        RecordError::Database(error) => Refusal::Database(error),
        _ => touched(),
    }
}

pub(super) fn touched() -> Refusal {
    Refusal::refused("moved_on", "It was changed since; nothing was taken back.")
}

pub(super) fn unreadable() -> Refusal {
    Refusal::refused("moved_on", "What was done cannot be read any more.")
}

pub(super) fn name(doing: &Doing<'_>, field: &str, most: usize) -> Result<Name, Refusal> {
    let text = doing.params.get(field).unwrap_or_default();
    Name::parse(text, most).map_err(|fault| Refusal::refused("bad_name", fault.to_string()))
}

/// What was done: the thing's id and the version that it was left in.
pub(super) fn place(done: &StoredEffect) -> Result<(Uuid, i32), Refusal> {
    let receipt = done.receipt.as_ref().ok_or_else(unreadable)?;
    let id = receipt["id"].as_str().and_then(|id| id.parse().ok());
    let version = receipt["version"].as_i64().map(i32::try_from);
    match (id, version) {
        (Some(id), Some(Ok(version))) => Ok((id, version)),
        _ => Err(unreadable()),
    }
}

pub(super) fn text_before<'a>(done: &'a StoredEffect, field: &str) -> Option<&'a str> {
    done.before_image.as_ref()?.get(field)?.as_str()
}

pub(super) struct CreateTask;

#[async_trait]
impl LocalEffect for CreateTask {
    async fn apply(&self, conn: &mut PgConnection, doing: &Doing<'_>) -> Result<Done, Refusal> {
        let project = match doing.params.get("project") {
            Some(_) => ProjectRef::Named(name(doing, "project", projects::NAME_CHARS)?),
            None => ProjectRef::None,
        };
        let today = doing.now.date_naive();
        let asked = |field| doing.params.get(field);
        let due = asked("due").and_then(|due| due_on(due, today));
        // What is no date that we can read is not lost.
        let unread = asked("due").filter(|_| due.is_none());
        let notes: Vec<String> = asked("notes")
            .map(str::to_owned)
            .into_iter()
            .chain(unread.map(|due| format!("Due: {due}")))
            .collect();
        let new = NewTask {
            project,
            priority: asked("priority")
                .and_then(Priority::parse)
                .unwrap_or(Priority::Medium),
            due_on: due,
            notes: (!notes.is_empty()).then(|| notes.join("\n")),
            message: doing.message,
            ..NewTask::titled(name(doing, "title", TITLE_CHARS)?)
        };
        let mut inner = conn.begin().await?;
        let made = match Tasks::create(&mut inner, doing.tenant, doing.user, &new).await {
            // The mail may be gone by the time somebody agrees; the task is wanted all the same.
            Err(RecordError::Unknown("mail")) => {
                inner.rollback().await?;
                let new = NewTask {
                    message: None,
                    ..new
                };
                Tasks::create(conn, doing.tenant, doing.user, &new)
                    .await
                    .map_err(told)?
            }
            made => {
                let made = made.map_err(told)?;
                inner.commit().await?;
                made
            }
        };
        Ok(Done {
            receipt: json!({ "id": made.id, "version": made.version }),
            before_image: None,
        })
    }

    async fn revert(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        let (id, version) = place(done)?;
        record::delete::<Tasks>(conn, tenant, id, Some(version))
            .await
            .map(drop)
            .map_err(moved_on)
    }
}

pub(super) struct UpdateTask;

#[async_trait]
impl LocalEffect for UpdateTask {
    async fn apply(&self, conn: &mut PgConnection, doing: &Doing<'_>) -> Result<Done, Refusal> {
        let word = doing.params.get("status").unwrap_or_default();
        let Some(status) = Progress::read(word) else {
            let known: Vec<_> = Progress::ALL.iter().map(|it| it.as_str()).collect();
            let message = format!("Use one of: {}.", known.join(", "));
            return Err(Refusal::refused("unknown_status", message));
        };
        let meant = doing.params.get("task_id").unwrap_or_default();
        let id = Tasks::meant(conn, doing.tenant, meant)
            .await
            .map_err(told)?;
        let change = TaskChange {
            status: Some(status),
            ..TaskChange::default()
        };
        let changed = record::change::<Tasks>(conn, doing.tenant, id.0, None, &change)
            .await
            .map_err(told)?;
        Ok(Done {
            receipt: json!({ "id": id, "version": changed.after.version }),
            before_image: Some(json!({ "status": changed.before.status })),
        })
    }

    async fn revert(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        let (id, version) = place(done)?;
        let status = text_before(done, "status").and_then(Progress::parse);
        let change = TaskChange {
            status: Some(status.ok_or_else(unreadable)?),
            ..TaskChange::default()
        };
        record::change::<Tasks>(conn, tenant, id, Some(version), &change)
            .await
            .map(drop)
            .map_err(moved_on)
    }
}

pub(super) struct Link;

#[async_trait]
impl LocalEffect for Link {
    async fn apply(&self, conn: &mut PgConnection, doing: &Doing<'_>) -> Result<Done, Refusal> {
        let message = doing.message.ok_or_else(|| {
            Refusal::refused(
                "no_mail",
                "Say with `message_id` which mail is to be linked.",
            )
        })?;
        let meant = doing.params.get("task_id").unwrap_or_default();
        let id = Tasks::meant(conn, doing.tenant, meant)
            .await
            .map_err(told)?;
        let tied = Tasks::link(conn, doing.tenant, id, message)
            .await
            .map_err(told)?;
        Ok(Done {
            receipt: json!({ "id": id, "version": 0, "message_id": message, "new": tied }),
            before_image: None,
        })
    }

    async fn revert(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        let (id, _) = place(done)?;
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

pub(super) struct UpsertContact;

#[async_trait]
impl LocalEffect for UpsertContact {
    async fn apply(&self, conn: &mut PgConnection, doing: &Doing<'_>) -> Result<Done, Refusal> {
        let email = doing.params.get("email").map(EmailAddress::parse);
        let email = email
            .transpose()
            .map_err(|_| Refusal::refused("bad_address", "This is no mail address."))?;
        let new = NewContact {
            name: name(doing, "name", TITLE_CHARS)?,
            email,
            notes: doing.params.get("notes").map(str::to_owned),
        };
        let upserted = Contacts::upsert(conn, doing.tenant, doing.user, &new)
            .await
            .map_err(told)?;
        Ok(match upserted {
            Upserted::Created(made) => Done {
                receipt: json!({ "id": made.id, "version": made.version }),
                before_image: None,
            },
            Upserted::Changed(changed) => Done {
                receipt: json!({ "id": changed.after.id, "version": changed.after.version }),
                before_image: Some(json!({
                    "name": changed.before.name,
                    "notes": changed.before.notes,
                })),
            },
        })
    }

    async fn revert(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        let (id, version) = place(done)?;
        if done.before_image.is_none() {
            let gone = record::delete::<Contacts>(conn, tenant, id, Some(version)).await;
            return gone.map(drop).map_err(moved_on);
        }
        let was = text_before(done, "name").unwrap_or_default();
        let change = ContactChange {
            name: Some(Name::parse(was, TITLE_CHARS).map_err(|_| unreadable())?),
            email: None,
            notes: Some(text_before(done, "notes").map(str::to_owned)),
        };
        record::change::<Contacts>(conn, tenant, id, Some(version), &change)
            .await
            .map(drop)
            .map_err(moved_on)
    }
}
