//! `GET /v1/jobs` and `GET /v1/dead-letters`: the tenant's jobs page by page, the youngest first. No totals.

use super::{JobFailure, path};
use crate::{
    AppState,
    cursor::{Cursor, page_limit},
    error::ApiError,
    extract::{CurrentSession, StrictQuery},
    route_table::{Access, Place, Route},
};
use axum::{Json, extract::State, http::Method};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{JobId, Session, session::Scope},
    queue::{
        JobState, JobView,
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
    page(&app, &session, "jobs", query).await
}

async fn list_dead_letters(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<DeadLettersQuery>,
) -> Result<Json<JobPage>, ApiError> {
    let query = JobsQuery {
        state: Some(JobState::Discarded),
        kind: query.kind,
        queue: query.queue,
        created_from: query.created_from,
        created_before: query.created_before,
        limit: query.limit,
        cursor: query.cursor,
    };
    page(&app, &session, "dead-letters", query).await
}

async fn page(
    app: &AppState,
    session: &Session,
    name: &str,
    query: JobsQuery,
) -> Result<Json<JobPage>, ApiError> {
    let limit = page_limit(query.limit)?;
    let filter = ListFilter {
        state: query.state,
        kind: query.kind,
        queue: query.queue,
        created_from: query.created_from,
        created_before: query.created_before,
    };
    let digested = format!("{filter:?}");
    let bound = [name, digested.as_str()];
    let before = query
        .cursor
        .map(|text| Cursor::decode(&text, session.tenant, &bound))
        .transpose()?
        .map(|Cursor(id)| JobId(id));

    let mut conn = app.pool.acquire().await?;
    // One more than asked for tells whether there is a next page.
    let mut jobs = list(&mut conn, session.tenant, &filter, before, limit + 1).await?;
    let is_last = i64::try_from(jobs.len()).is_ok_and(|found| found <= limit);
    if !is_last {
        jobs.pop();
    }
    let next_cursor = jobs
        .last()
        .filter(|_| !is_last)
        .map(|last| Cursor(last.id.0).encode(session.tenant, &bound));
    let items = jobs.into_iter().map(JobSummary::from).collect();
    Ok(Json(JobPage { items, next_cursor }))
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
