//! Putting jobs back in line that ended without success: one by its id, the discarded ones by a filter.

use super::{JobBody, find, job_id};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, body, json},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::{Path, Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{commands::jobs::retry, domain::session::Scope};
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
        .summary("Put a discarded or cancelled job back in line")
        .answer::<JobBody>(202, "The job, waiting again with no failures counted"),
        Route::new(
            Method::POST,
            "/v1/dead-letters/retry",
            "retry_dead_letters",
            Access::Session(Scope::JobsWrite),
            retry_dead_letters,
        )
        .summary("Put discarded jobs back in line, at most 500 a call")
        .body::<DeadLettersToRetry>(JSON)
        .answer::<RetriedDeadLetters>(202, "What was put back, and how many are left"),
    ]
}

/// Which discarded jobs; `{}` is all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeadLettersToRetry {
    kind: Option<String>,
    error_code: Option<String>,
    /// Given up at this time or later.
    finished_from: Option<DateTime<Utc>>,
    /// Given up before this time.
    finished_before: Option<DateTime<Utc>>,
}

#[derive(Serialize, JsonSchema)]
struct RetriedDeadLetters {
    /// The jobs that wait again, the oldest first.
    jobs: Vec<JobId>,
    /// Jobs that still fit the filter: call again. Counted up to 10,000.
    left: i64,
}

async fn retry_job(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = job_id(&id)?;
    let request_id = Some(&*context.request_id);
    let requeued = retry::retry_job(&app.pool, &app.notifier, &session, id, request_id).await?;
    let job = find(&app, &session, id).await?;
    if !requeued {
        return Err(ApiError::new(
            Code::Conflict,
            "Only a job that was discarded or cancelled can be retried. Look at its state.",
        ));
    }
    let json = [(header::CONTENT_TYPE, JSON)];
    Ok((success::ACCEPTED, json, JobBody::to_bytes(&job)).into_response())
}

async fn retry_dead_letters(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    request: Request,
) -> Result<(StatusCode, Json<RetriedDeadLetters>), ApiError> {
    if body::media_type(request.headers()) != JSON {
        return Err(body::unsupported(JSON));
    }
    let asked: DeadLettersToRetry =
        json::into_type(json::parse(&body::read(&app, request).await?)?)?;
    let filter = DeadLetterFilter {
        kind: asked.kind,
        error_code: asked.error_code,
        finished_from: asked.finished_from,
        finished_before: asked.finished_before,
        ..DeadLetterFilter::default()
    };
    let request_id = Some(&*context.request_id);
    let done =
        retry::retry_dead_letters(&app.pool, &app.notifier, &session, &filter, request_id).await?;
    let answer = RetriedDeadLetters {
        jobs: done.jobs,
        left: done.left,
    };
    Ok((success::ACCEPTED, Json(answer)))
}
