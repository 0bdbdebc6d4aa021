//! Cancelling a job: `POST /v1/jobs/{id}/cancel`.

use super::{JobBody, find, path};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, Id},
    route_table::{Access, Route},
};
use axum::{
    extract::State,
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use base::JobId;
use jobs::{commands::jobs::cancel_job, domain::session::Scope};
use queue::{JobState, run::cancel::Cancelled};

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        "/v1/jobs/{id}/cancel",
        "cancel_job",
        Access::Session(Scope::JobsWrite),
        cancel,
    )
    .summary("Cancel a job")
    .description("A waiting job is cancelled immediately, a running one within about a second.")
    .answer::<JobBody>(200, "The job is cancelled")
    .answer::<JobBody>(202, "The job runs; its worker is stopping it")
    .errors(&[Code::Conflict])
}

async fn cancel(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<JobId>,
) -> Result<Response, ApiError> {
    let cancelled = cancel_job(&app.pool, &app.notifier, &session, id, &context.request_id).await?;
    let status = match cancelled {
        Cancelled::Now | Cancelled::AlreadyEnded(JobState::Cancelled) => success::OK,
        Cancelled::Requested => success::ACCEPTED,
        Cancelled::AlreadyEnded(state) => {
            return Err(ApiError::new(
                Code::Conflict,
                format!(
                    "The job has ended ({}), so it cannot be cancelled: see {}.",
                    state.as_str(),
                    path(id)
                ),
            ));
        }
        Cancelled::NotFound => return Err(ApiError::not_found()),
    };
    let job = find(&app, &session, id).await?;
    let mut response = JobBody::to_bytes(&job).into_response();
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}
