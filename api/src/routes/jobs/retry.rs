//! Retrying jobs that ended without success: one by its id, the discarded ones by a filter.

use super::{JobBody, find};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, Id, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base::JobId;
use jobs::{
    commands::jobs::retry,
    domain::{session::Scope, time::Moment},
};
use queue::view::dead_letters::DeadLetterFilter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const JSON: &str = "application/json";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/v1/jobs/{id}/retry",
            "retry_job",
            Access::Session(Scope::JobsWrite),
            retry_job,
        )
        .summary("Retry a job")
        .description(
            "Makes a discarded or cancelled job available again, with no failures counted.",
        )
        .answer::<JobBody>(202, "The job, available again")
        .errors(&[Code::Conflict]),
        Route::new(
            Method::POST,
            "/v1/dead-letters/retry",
            "retry_dead_letters",
            Access::Session(Scope::JobsWrite),
            retry_dead_letters,
        )
        .summary("Retry discarded jobs, at most 500 per call")
        .body::<DeadLettersToRetry>(JSON)
        .answer::<RetriedJobs>(202, "The retried jobs, and how many are left"),
    ]
}

/// Filters of discarded jobs; `{}` stands for all of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeadLettersFilter")]
struct DeadLettersToRetry {
    /// Only jobs of this kind; of an unknown one there are none.
    kind: Option<String>,
    /// Only jobs that ended with this code.
    error_code: Option<String>,
    /// Only jobs discarded from this time on.
    finished_from: Option<Moment>,
    /// Only jobs discarded before this time.
    finished_before: Option<Moment>,
}

/// Jobs that were retried.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RetriedJobs {
    /// The jobs that are available again, oldest first.
    pub(crate) jobs: Vec<JobId>,
    /// How many jobs still match the filter: call again. 10,000 stands for 10,000 or more.
    #[schemars(range(min = 0, max = 10_000))]
    pub(crate) left: i64,
}

async fn retry_job(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<JobId>,
) -> Result<Response, ApiError> {
    let request_id = Some(&*context.request_id);
    let retried = retry::retry_job(&app.pool, &app.notifier, &session, id, request_id).await?;
    let job = find(&app, &session, id).await?;
    if !retried {
        return Err(ApiError::new(
            Code::Conflict,
            "Only a discarded or cancelled job can be retried. Check its state.",
        ));
    }
    let json = [(header::CONTENT_TYPE, JSON)];
    Ok((success::ACCEPTED, json, JobBody::to_bytes(&job)).into_response())
}

async fn retry_dead_letters(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<DeadLettersToRetry>,
) -> Result<(StatusCode, Json<RetriedJobs>), ApiError> {
    let filter = DeadLetterFilter {
        kind: body.kind,
        error_code: body.error_code,
        finished_from: body.finished_from.map(Moment::utc),
        finished_before: body.finished_before.map(Moment::utc),
        ..DeadLetterFilter::default()
    };
    let request_id = Some(&*context.request_id);
    let done =
        retry::retry_dead_letters(&app.pool, &app.notifier, &session, &filter, request_id).await?;
    let retried = RetriedJobs {
        jobs: done.jobs,
        left: done.left,
    };
    Ok((success::ACCEPTED, Json(retried)))
}
