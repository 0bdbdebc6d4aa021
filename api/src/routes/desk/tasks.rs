//! `/v1/tasks`.

use super::{Named, OnDesk, READ, fields, routes_of};
use crate::{
    AppState,
    cursor::Page,
    error::ApiError,
    extract::{CurrentSession, StrictQuery},
    route_table::{Place, Route},
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
    },
    store::tasks::{self, StoredTask, TaskFilter},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) fn routes() -> Vec<Route> {
    let list = Route::new(Method::GET, Tasks::PATH, "list_tasks", READ, list)
        .summary("List the tasks, the youngest first")
        .parameter::<ProjectId>(Place::Query, "project", false, "Only those of this project")
        .parameter::<Progress>(Place::Query, "status", false, "Only with this status")
        .parameter::<u8>(
            Place::Query,
            "limit",
            false,
            "How many at most, 1 to 200; 50 if not given",
        )
        .parameter::<String>(
            Place::Query,
            "cursor",
            false,
            "`next_cursor` of the page before, with the same filters",
        )
        .answer::<TaskPage>(200, "A page of tasks that are not deleted");
    let named = Named {
        paths: ["/v1/tasks/{id}", "/v1/tasks/{id}/restore"],
        names: [
            "create_task",
            "get_task",
            "change_task",
            "delete_task",
            "restore_task",
        ],
        summaries: [
            "Make a task; its title is its own in its project",
            "One task",
            "Change a task; what is left out stays",
            "Delete a task; it can be restored",
            "Take the deletion of a task back",
        ],
    };
    [list]
        .into_iter()
        .chain(routes_of::<Tasks>(&named))
        .collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TasksQuery {
    project: Option<ProjectId>,
    status: Option<Progress>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct TaskPage {
    items: Vec<TaskBody>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// Something to be done.
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
    /// The mails it is about.
    message_ids: Vec<MessageId>,
    /// Grows with every change.
    version: i32,
    /// Null if a rule made it.
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

/// A task to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewTask")]
pub(super) struct NewTaskBody {
    /// At most 200 characters.
    title: String,
    #[serde(default)]
    project_id: Option<ProjectId>,
    /// The name of the project, instead of its id; it is made if there is none.
    #[serde(default)]
    project: Option<String>,
    /// backlog | ready (or todo) | doing | blocked | done; ready if not given.
    #[serde(default)]
    status: Option<String>,
    /// Medium if not given.
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    due_on: Option<NaiveDate>,
    /// At most 1000 characters.
    #[serde(default)]
    notes: Option<String>,
    /// The mail it is about.
    #[serde(default)]
    message_id: Option<MessageId>,
}

/// What is to change; what is left out stays, and null takes a value away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TaskChange")]
pub(super) struct TaskChangeBody {
    #[serde(default)]
    title: Option<String>,
    #[serde(default, deserialize_with = "fields::present")]
    project_id: Option<Option<ProjectId>>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default, deserialize_with = "fields::present")]
    due_on: Option<Option<NaiveDate>>,
    #[serde(default, deserialize_with = "fields::present")]
    notes: Option<Option<String>>,
}

impl OnDesk for Tasks {
    const PATH: &'static str = "/v1/tasks";

    type Body = TaskBody;
    type NewBody = NewTaskBody;
    type ChangeBody = TaskChangeBody;

    fn understand(body: NewTaskBody) -> Result<NewTask, ApiError> {
        let title = fields::name("/title", &body.title, TITLE_CHARS)?;
        let project = match (body.project_id, body.project) {
            (None, None) => ProjectRef::None,
            (Some(id), None) => ProjectRef::Id(id),
            (None, Some(name)) => {
                ProjectRef::Named(fields::name("/project", &name, projects::NAME_CHARS)?)
            }
            (Some(_), Some(_)) => {
                let detail = "Send either project_id or project.".to_owned();
                return Err(fields::invalid("/project", "INVALID_VALUE", detail));
            }
        };
        let usual = NewTask::titled(title);
        Ok(NewTask {
            project,
            status: match body.status {
                Some(word) => fields::progress("/status", &word)?,
                None => usual.status,
            },
            priority: body.priority.unwrap_or(usual.priority),
            due_on: body.due_on,
            notes: fields::notes(body.notes)?,
            message: body.message_id,
            ..usual
        })
    }

    fn understand_change(body: TaskChangeBody) -> Result<TaskChange, ApiError> {
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
            due_on: body.due_on,
            notes: body.notes.map(fields::notes).transpose()?,
        })
    }
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<TasksQuery>,
) -> Result<Json<TaskPage>, ApiError> {
    let filter = TaskFilter {
        project: query.project,
        status: query.status,
    };
    let cursor = query.cursor.as_deref();
    let page = Page::asked(session.tenant, "tasks", &filter, query.limit, cursor)?;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(TaskId);
    let found = tasks::list(&mut conn, session.tenant, &filter, before, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |task| task.id.0);
    let items = found.into_iter().map(TaskBody::from).collect();
    Ok(Json(TaskPage { items, next_cursor }))
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
