//! `POST /v1/jobs/{id}/cancel`: the job is not wanted any more.

use super::{JobBody, path};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::CurrentSession,
    route_table::{Access, Route},
};
use axum::{
    extract::{Path, State},
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use base::JobId;
use jobs::{commands::jobs::cancel_job, domain::session::Scope};
use queue::{JobState, run::cancel::Cancelled, view};

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        "/v1/jobs/{id}/cancel",
        "cancel_job",
        Access::Session(Scope::JobsWrite),
        cancel,
    )
    .summary("Stop a job: a waiting one at once, a running one within a second or so")
    .answer::<JobBody>(200, "The job is cancelled, now or since before")
    .answer::<JobBody>(202, "The job runs, and its worker was asked to stop")
}

async fn cancel(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id: JobId = id.parse().map_err(|_| ApiError::not_found())?;
    let cancelled = cancel_job(&app.pool, &app.notifier, &session, id, &context.request_id).await?;
    let status = match cancelled {
        Cancelled::Now | Cancelled::AlreadyEnded(JobState::Cancelled) => success::OK,
        Cancelled::Requested => success::ACCEPTED,
        Cancelled::AlreadyEnded(state) => {
            return Err(ApiError::new(
                Code::Conflict,
                format!("The job has ended as {}: see {}.", state.as_str(), path(id)),
            ));
        }
        Cancelled::NotFound => return Err(ApiError::not_found()),
    };
    let mut conn = app.pool.acquire().await?;
    let job = view::find(&mut conn, session.tenant, id)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let mut response = JobBody::to_bytes(&job).into_response();
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}
