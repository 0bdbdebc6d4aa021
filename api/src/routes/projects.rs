//! Projects: `/v1/projects`.

use super::records::{HttpRecord, Operations, READ, fields, routes_of};
use crate::{
    AppState,
    error::ApiError,
    etag::has_version,
    extract::{CurrentSession, Paged, PagedList},
    route_table::Route,
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

pub fn routes() -> Vec<Route> {
    let list = Route::new(Method::GET, Projects::PATH, "list_projects", READ, list)
        .summary("List the projects, newest first")
        .paged::<ProjectsQuery>()
        .answer::<PagedList<ProjectBody>>(200, "A page of projects that are not deleted");
    let operations = Operations {
        paths: ["/v1/projects/{id}", "/v1/projects/{id}/restore"],
        names: [
            "create_project",
            "get_project",
            "change_project",
            "delete_project",
            "restore_project",
        ],
        summaries: [
            "Create a project with a unique name",
            "Get a project",
            "Change a project",
            "Delete a project with its tasks",
            "Restore a deleted project with the tasks that were deleted with it",
        ],
    };
    [list]
        .into_iter()
        .chain(routes_of::<Projects>(&operations))
        .collect()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProjectsQuery {
    /// Only projects with this status.
    status: Option<Progress>,
}

/// A project.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Project")]
pub(super) struct ProjectBody {
    id: ProjectId,
    name: String,
    status: Progress,
    notes: Option<String>,
    /// Grows with every change.
    #[schemars(range(min = 1))]
    version: i32,
    /// Null if a rule created it.
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

/// A new project.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewProject")]
pub(super) struct NewProjectBody {
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// `ready` by default.
    #[serde(default)]
    #[schemars(with = "Option<fields::ProgressInput>")]
    status: Option<String>,
    #[serde(default)]
    #[schemars(length(max = 1000))]
    notes: Option<String>,
}

/// A change: fields that are left out stay, null clears a value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProjectChange")]
pub(super) struct ProjectChangeBody {
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    name: Option<String>,
    #[serde(default)]
    #[schemars(with = "Option<fields::ProgressInput>")]
    status: Option<String>,
    #[serde(default, deserialize_with = "fields::present")]
    #[schemars(length(max = 1000))]
    notes: Option<Option<String>>,
}

has_version!(ProjectBody);

impl HttpRecord for Projects {
    const PATH: &'static str = "/v1/projects";

    type Body = ProjectBody;
    type NewBody = NewProjectBody;
    type ChangeBody = ProjectChangeBody;

    fn parse_new(body: NewProjectBody) -> Result<NewProject, ApiError> {
        Ok(NewProject {
            name: fields::name("/name", &body.name, NAME_CHARS)?,
            status: match body.status {
                Some(word) => fields::progress("/status", &word)?,
                None => Progress::Ready,
            },
            notes: fields::notes(body.notes)?,
        })
    }

    fn parse_change(body: ProjectChangeBody) -> Result<ProjectChange, ApiError> {
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
    Paged { filter, page }: Paged<ProjectsQuery>,
) -> Result<Json<PagedList<ProjectBody>>, ApiError> {
    let status = filter.status;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(ProjectId);
    let found = projects::list(&mut conn, session.tenant, status, before, page.rows()).await?;
    Ok(page.list(found, |project| project.id.0))
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
