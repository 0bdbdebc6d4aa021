//! Tasks: `/v1/tasks`.

use super::records::{HttpRecord, Operations, READ, fields, routes_of};
use crate::{
    AppState,
    error::ApiError,
    etag::has_version,
    extract::{CurrentSession, Paged, PagedList},
    route_table::Route,
};
use axum::{Json, extract::State, http::Method};
use chrono::{DateTime, NaiveDate, Utc};
use jobs::{
    commands::tasks::Tasks,
    domain::{
        MessageId, ProjectId, TaskId, UserId,
        judgement::Priority,
        name::TITLE_CHARS,
        projects,
        tasks::{NewTask, Progress, ProjectRef, TaskChange},
        time::Day,
    },
    store::tasks::{self, StoredTask, TaskFilter},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub fn routes() -> Vec<Route> {
    let list = Route::new(Method::GET, Tasks::PATH, "list_tasks", READ, list)
        .summary("List the tasks, newest first")
        .paged::<TasksQuery>()
        .answer::<PagedList<TaskBody>>(200, "A page of tasks that are not deleted");
    let operations = Operations {
        paths: ["/v1/tasks/{id}", "/v1/tasks/{id}/restore"],
        names: [
            "create_task",
            "get_task",
            "change_task",
            "delete_task",
            "restore_task",
        ],
        summaries: [
            "Create a task with a title that is unique in its project",
            "Get a task",
            "Change a task",
            "Delete a task",
            "Restore a deleted task",
        ],
    };
    [list]
        .into_iter()
        .chain(routes_of::<Tasks>(&operations))
        .collect()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TasksQuery {
    /// Only tasks of this project.
    project: Option<ProjectId>,
    /// Only tasks with this status.
    status: Option<Progress>,
}

/// A task.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Task")]
pub(super) struct TaskBody {
    id: TaskId,
    title: String,
    project_id: Option<ProjectId>,
    status: Progress,
    priority: Priority,
    due_on: Option<NaiveDate>,
    notes: Option<String>,
    /// The emails it is about.
    message_ids: Vec<MessageId>,
    /// Grows with every change.
    #[schemars(range(min = 1))]
    version: i32,
    /// Null if a rule created it.
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

/// A new task.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "NewTask",
    extend("not" = { "required": ["project_id", "project"] })
)]
pub(super) struct NewTaskBody {
    #[schemars(length(min = 1, max = 200))]
    title: String,
    #[serde(default)]
    #[schemars(with = "ProjectId")]
    project_id: Option<ProjectId>,
    /// Name of the project instead of its id; the project is created if there is none.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = 100))]
    project: Option<String>,
    /// `ready` by default.
    #[serde(default)]
    #[schemars(with = "Option<fields::ProgressInput>")]
    status: Option<String>,
    /// `medium` by default.
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    due_on: Option<Day>,
    #[serde(default)]
    #[schemars(length(max = 1000))]
    notes: Option<String>,
    /// The email it is about.
    #[serde(default)]
    message_id: Option<MessageId>,
}

/// A change: fields that are left out stay, null clears a value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TaskChange")]
pub(super) struct TaskChangeBody {
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    title: Option<String>,
    #[serde(default, deserialize_with = "fields::present")]
    project_id: Option<Option<ProjectId>>,
    #[serde(default)]
    #[schemars(with = "Option<fields::ProgressInput>")]
    status: Option<String>,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default, deserialize_with = "fields::present")]
    due_on: Option<Option<Day>>,
    #[serde(default, deserialize_with = "fields::present")]
    #[schemars(length(max = 1000))]
    notes: Option<Option<String>>,
}

has_version!(TaskBody);

impl HttpRecord for Tasks {
    const PATH: &'static str = "/v1/tasks";

    type Body = TaskBody;
    type NewBody = NewTaskBody;
    type ChangeBody = TaskChangeBody;

    fn parse_new(body: NewTaskBody) -> Result<NewTask, ApiError> {
        let title = fields::name("/title", &body.title, TITLE_CHARS)?;
        let project = match (body.project_id, body.project) {
            (None, None) => ProjectRef::None,
            (Some(id), None) => ProjectRef::Id(id),
            (None, Some(name)) => {
                ProjectRef::Named(fields::name("/project", &name, projects::NAME_CHARS)?)
            }
            (Some(_), Some(_)) => {
                let detail = "Send either `project_id` or `project`.".to_owned();
                return Err(fields::invalid("/project", "INVALID_VALUE", detail));
            }
        };
        let default = NewTask::titled(title);
        Ok(NewTask {
            project,
            status: match body.status {
                Some(word) => fields::progress("/status", &word)?,
                None => default.status,
            },
            priority: body.priority.unwrap_or(default.priority),
            due_on: body.due_on.map(Day::date),
            notes: fields::notes(body.notes)?,
            message: body.message_id,
            ..default
        })
    }

    fn parse_change(body: TaskChangeBody) -> Result<TaskChange, ApiError> {
        let title = body.title.as_deref();
        let status = body.status.as_deref();
        Ok(TaskChange {
            title: title
                .map(|text| fields::name("/title", text, TITLE_CHARS))
                .transpose()?,
            project: body.project_id,
            status: status
                .map(|word| fields::progress("/status", word))
                .transpose()?,
            priority: body.priority,
            due_on: body.due_on.map(|due| due.map(Day::date)),
            notes: body.notes.map(fields::notes).transpose()?,
        })
    }
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<TasksQuery>,
) -> Result<Json<PagedList<TaskBody>>, ApiError> {
    let filter = TaskFilter {
        project: filter.project,
        status: filter.status,
    };
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(TaskId);
    let found = tasks::list(&mut conn, session.tenant, &filter, before, page.rows()).await?;
    Ok(page.list(found, |task| task.id.0))
}

impl From<StoredTask> for TaskBody {
    fn from(task: StoredTask) -> Self {
        Self {
            id: task.id,
            title: task.title,
            project_id: task.project,
            status: task.status,
            priority: task.priority,
            due_on: task.due_on,
            notes: task.notes,
            message_ids: task.messages,
            version: task.version,
            created_by: task.created_by,
            created_at: task.created_at,
            updated_at: task.updated_at,
            deleted_at: task.deleted_at,
        }
    }
}
