//! The tenant's jobs, newest first, page by page and without totals: `GET /v1/jobs` and `GET /v1/dead-letters`.

use super::{JobFailure, JobKindName, QueueName, path};
use crate::{
    AppState,
    error::ApiError,
    extract::{CurrentSession, Paged, PagedList},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::domain::{session::Scope, time::Moment};
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
    vec![
        Route::new(
            Method::GET,
            "/v1/jobs",
            "list_jobs",
            Access::Session(Scope::JobsRead),
            list_jobs,
        )
        .summary("List the jobs, newest first")
        .paged::<JobsQuery>()
        .answer::<PagedList<JobSummary>>(200, "A page of jobs"),
        Route::new(
            Method::GET,
            "/v1/dead-letters",
            "list_dead_letters",
            Access::Session(Scope::JobsRead),
            list_dead_letters,
        )
        .summary("List the discarded jobs, newest first")
        .paged::<DeadLettersQuery>()
        .answer::<PagedList<JobSummary>>(200, "A page of jobs"),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JobsQuery {
    /// Only jobs in this state.
    state: Option<JobState>,
    /// Only jobs of this kind; of an unknown one there are none.
    kind: Option<String>,
    /// Only jobs of this queue; of an unknown one there are none.
    queue: Option<String>,
    /// Only jobs created from this time on.
    created_from: Option<Moment>,
    /// Only jobs created before this time.
    created_before: Option<Moment>,
}

/// As [`JobsQuery`], without the state.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeadLettersQuery {
    /// Only jobs of this kind; of an unknown one there are none.
    kind: Option<String>,
    /// Only jobs of this queue; of an unknown one there are none.
    queue: Option<String>,
    /// Only jobs created from this time on.
    created_from: Option<Moment>,
    /// Only jobs created before this time.
    created_before: Option<Moment>,
}

/// A job without its result.
#[derive(Serialize, JsonSchema)]
struct JobSummary {
    id: JobId,
    #[schemars(with = "JobKindName")]
    kind: String,
    #[schemars(with = "QueueName")]
    queue: String,
    state: JobState,
    /// Attempts that counted, the running one included; 0 before the first.
    #[schemars(range(min = 0))]
    attempts: i32,
    #[schemars(range(min = 1))]
    max_attempts: i32,
    /// 1 is the most urgent, 4 the least.
    #[schemars(range(min = 1, max = 4))]
    priority: i16,
    created_at: DateTime<Utc>,
    run_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    /// Why it was discarded, or why its last attempt failed.
    error: Option<JobFailure>,
    request_id: Option<String>,
    client_request_id: Option<String>,
    /// Path of the whole job.
    href: String,
}

async fn list_jobs(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<JobsQuery>,
) -> Result<Json<PagedList<JobSummary>>, ApiError> {
    let filter = ListFilter {
        state: filter.state,
        kind: filter.kind,
        queue: filter.queue,
        created_from: filter.created_from.map(Moment::utc),
        created_before: filter.created_before.map(Moment::utc),
    };
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(JobId);
    let found = list(&mut conn, session.tenant, &filter, before, page.rows()).await?;
    Ok(page.list(found, |job| job.id.0))
}

async fn list_dead_letters(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<DeadLettersQuery>,
) -> Result<Json<PagedList<JobSummary>>, ApiError> {
    let filter = DeadLetterFilter {
        kind: filter.kind,
        queue: filter.queue,
        created_from: filter.created_from.map(Moment::utc),
        created_before: filter.created_before.map(Moment::utc),
        ..DeadLetterFilter::default()
    };
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(JobId);
    let found = dead_letters::list(&mut conn, session.tenant, &filter, before, page.rows()).await?;
    Ok(page.list(found, |job| job.id.0))
}

impl From<JobView> for JobSummary {
    fn from(job: JobView) -> Self {
        Self {
            href: path(job.id),
            id: job.id,
            kind: job.kind,
            queue: job.queue,
            state: job.state,
            attempts: job.attempts,
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
            client_request_id: job.client_request_id,
        }
    }
}
