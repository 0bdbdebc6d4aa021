//! `/v1/projects`.

use super::{Named, OnDesk, READ, fields, routes_of};
use crate::{
    AppState,
    cursor::Page,
    error::ApiError,
    extract::{CurrentSession, StrictQuery},
    route_table::{Place, Route},
};
use axum::{Json, extract::State, http::Method};
use chrono::{DateTime, Utc};
use jobs::{
    commands::projects::Projects,
    domain::{
        ProjectId, UserId,
        projects::{NAME_CHARS, NewProject, ProjectChange},
        tasks::Progress,
    },
    store::projects::{self, StoredProject},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) fn routes() -> Vec<Route> {
    let list = Route::new(Method::GET, Projects::PATH, "list_projects", READ, list)
        .summary("List the projects, the youngest first")
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
        .answer::<ProjectPage>(200, "A page of projects that are not deleted");
    let named = Named {
        paths: ["/v1/projects/{id}", "/v1/projects/{id}/restore"],
        names: [
            "create_project",
            "get_project",
            "change_project",
            "delete_project",
            "restore_project",
        ],
        summaries: [
            "Make a project; its name is its own",
            "One project",
            "Change a project; what is left out stays",
            "Delete a project with its tasks; it can be restored",
            "Take the deletion of a project back, with exactly the tasks that went with it",
        ],
    };
    [list]
        .into_iter()
        .chain(routes_of::<Projects>(&named))
        .collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectsQuery {
    status: Option<Progress>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ProjectPage {
    items: Vec<ProjectBody>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// What tasks are done for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Project")]
pub(super) struct ProjectBody {
    id: ProjectId,
    name: String,
    status: Progress,
    notes: Option<String>,
    /// Grows with every change.
    version: i32,
    /// Null if a rule made it.
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

/// A project to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewProject")]
pub(super) struct NewProjectBody {
    /// At most 100 characters.
    name: String,
    /// backlog | ready (or todo) | doing | blocked | done; ready if not given.
    #[serde(default)]
    status: Option<String>,
    /// At most 1000 characters.
    #[serde(default)]
    notes: Option<String>,
}

/// What is to change; what is left out stays, and null takes a value away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProjectChange")]
pub(super) struct ProjectChangeBody {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, deserialize_with = "fields::present")]
    notes: Option<Option<String>>,
}

impl OnDesk for Projects {
    const PATH: &'static str = "/v1/projects";

    type Body = ProjectBody;
    type NewBody = NewProjectBody;
    type ChangeBody = ProjectChangeBody;

    fn understand(body: NewProjectBody) -> Result<NewProject, ApiError> {
        Ok(NewProject {
            name: fields::name("/name", &body.name, NAME_CHARS)?,
            status: match body.status {
                Some(word) => fields::progress("/status", &word)?,
                None => Progress::Ready,
            },
            notes: fields::notes(body.notes)?,
        })
    }

    fn understand_change(body: ProjectChangeBody) -> Result<ProjectChange, ApiError> {
        let name = body.name.as_deref();
        let status = body.status.as_deref();
        Ok(ProjectChange {
            name: name
                .map(|text| fields::name("/name", text, NAME_CHARS))
                .transpose()?,
            status: status
                .map(|word| fields::progress("/status", word))
                .transpose()?,
            notes: body.notes.map(fields::notes).transpose()?,
        })
    }
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<ProjectsQuery>,
) -> Result<Json<ProjectPage>, ApiError> {
    let (status, cursor) = (query.status, query.cursor.as_deref());
    let page = Page::asked(session.tenant, "projects", &status, query.limit, cursor)?;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(ProjectId);
    let found = projects::list(&mut conn, session.tenant, status, before, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |project| project.id.0);
    let items = found.into_iter().map(ProjectBody::from).collect();
    Ok(Json(ProjectPage { items, next_cursor }))
}

impl From<StoredProject> for ProjectBody {
    fn from(project: StoredProject) -> Self {
        Self {
            id: project.id,
            name: project.name,
            status: project.status,
            notes: project.notes,
            version: project.version,
            created_by: project.created_by,
            created_at: project.created_at,
            updated_at: project.updated_at,
            deleted_at: project.deleted_at,
        }
    }
}
