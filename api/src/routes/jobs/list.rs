//! `GET /v1/jobs` and `GET /v1/dead-letters`: the tenant's jobs page by page, the youngest first. No totals.

use super::{JobFailure, path};
use crate::{
    AppState,
    cursor::Page,
    error::ApiError,
    extract::{CurrentSession, StrictQuery},
    route_table::{Access, Place, Route},
};
use axum::{Json, extract::State, http::Method};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::domain::session::Scope;
use queue::{
    JobState, JobView,
    view::{
        dead_letters::{self, DeadLetterFilter},
        list::{ListFilter, list},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) fn routes() -> Vec<Route> {
    let jobs = Route::new(
        Method::GET,
        "/v1/jobs",
        "list_jobs",
        Access::Session(Scope::JobsRead),
        list_jobs,
    )
    .summary("List the jobs, the youngest first")
    .parameter::<JobState>(Place::Query, "state", false, "Only jobs in this state");
    let dead_letters = Route::new(
        Method::GET,
        "/v1/dead-letters",
        "list_dead_letters",
        Access::Session(Scope::JobsRead),
        list_dead_letters,
    )
    .summary("List the jobs that were given up, the youngest first");
    [jobs, dead_letters].map(paged).into()
}

/// What both lists take and give.
fn paged(route: Route) -> Route {
    route
        .parameter::<String>(Place::Query, "kind", false, "Only jobs of this kind")
        .parameter::<String>(Place::Query, "queue", false, "Only jobs of this queue")
        .parameter::<DateTime<Utc>>(
            Place::Query,
            "created_from",
            false,
            "Only jobs created at this time or later",
        )
        .parameter::<DateTime<Utc>>(
            Place::Query,
            "created_before",
            false,
            "Only jobs created before this time",
        )
        .parameter::<u8>(
            Place::Query,
            "limit",
            false,
            "How many jobs at most, 1 to 200; 50 if not given",
        )
        .parameter::<String>(
            Place::Query,
            "cursor",
            false,
            "`next_cursor` of the page before, with the same filters",
        )
        .answer::<JobPage>(200, "A page of jobs")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobsQuery {
    state: Option<JobState>,
    kind: Option<String>,
    queue: Option<String>,
    created_from: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// As [`JobsQuery`], of one state.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadLettersQuery {
    kind: Option<String>,
    queue: Option<String>,
    created_from: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct JobPage {
    items: Vec<JobSummary>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// A job without its result.
#[derive(Serialize, JsonSchema)]
struct JobSummary {
    id: JobId,
    kind: String,
    queue: String,
    state: JobState,
    /// Attempts that counted, the running one included; 0 before the first.
    attempt: i32,
    max_attempts: i32,
    /// 1 is the most urgent, 4 the least.
    priority: i16,
    created_at: DateTime<Utc>,
    run_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    /// Why it was given up, or why its last attempt failed.
    error: Option<JobFailure>,
    request_id: Option<String>,
    /// Where all of it is.
    href: String,
}

async fn list_jobs(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<JobsQuery>,
) -> Result<Json<JobPage>, ApiError> {
    let filter = ListFilter {
        state: query.state,
        kind: query.kind,
        queue: query.queue,
        created_from: query.created_from,
        created_before: query.created_before,
    };
    let cursor = query.cursor.as_deref();
    let page = Page::asked(session.tenant, "jobs", &filter, query.limit, cursor)?;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(JobId);
    let found = list(&mut conn, session.tenant, &filter, before, page.rows()).await?;
    Ok(Json(JobPage::of(&page, found)))
}

async fn list_dead_letters(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<DeadLettersQuery>,
) -> Result<Json<JobPage>, ApiError> {
    let filter = DeadLetterFilter {
        kind: query.kind,
        queue: query.queue,
        created_from: query.created_from,
        created_before: query.created_before,
        ..DeadLetterFilter::default()
    };
    let cursor = query.cursor.as_deref();
    let page = Page::asked(session.tenant, "dead-letters", &filter, query.limit, cursor)?;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(JobId);
    let found = dead_letters::list(&mut conn, session.tenant, &filter, before, page.rows()).await?;
    Ok(Json(JobPage::of(&page, found)))
}

impl JobPage {
    fn of(page: &Page, found: Vec<JobView>) -> Self {
        let (jobs, next_cursor) = page.cut(found, |job| job.id.0);
        let items = jobs.into_iter().map(JobSummary::from).collect();
        Self { items, next_cursor }
    }
}

impl From<JobView> for JobSummary {
    fn from(job: JobView) -> Self {
        Self {
            href: path(job.id),
            id: job.id,
            kind: job.kind,
            queue: job.queue,
            state: job.state,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            priority: job.priority,
            created_at: job.created_at,
            run_at: job.run_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            error: job.error.map(|error| JobFailure {
                code: error.code,
                message: error.message,
            }),
            request_id: job.request_id,
        }
    }
}
