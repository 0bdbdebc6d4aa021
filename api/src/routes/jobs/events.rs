//! `GET /v1/jobs/{id}/events`: what happened to a job, and what happens to it, as server-sent events.
//!
//! Every event carries an id; a client that comes back with it in `Last-Event-ID` is sent exactly the rest, by this
//! process or another. [`follow`] is the stream.

mod follow;
mod resume;

use super::{JobFailure, JobProgress, find, job_id};
use crate::{
    AppState,
    error::{ApiError, Code, success},
    extract::{CurrentSession, StrictQuery},
    route_table::{Access, Place, Route},
};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderName, Method},
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
};
use base::WorkerId;
use chrono::{DateTime, Utc};
use follow::Follow;
use jobs::domain::session::Scope;
use queue::{
    JobState,
    view::events::{Event, What},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tells nginx and those who follow it to pass on what comes when it comes.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

pub(super) fn route() -> Route {
    Route::new(
        Method::GET,
        "/v1/jobs/{id}/events",
        "follow_job",
        Access::Session(Scope::JobsRead),
        follow_job,
    )
    .summary("Follow a job: what happened and what happens, as server-sent events")
    .parameter::<String>(
        Place::Header,
        "Last-Event-ID",
        false,
        "The id of the last event you know: only later ones are sent",
    )
    .streamed_answer::<EventBody>(
        200,
        "Events until the job has ended, named by what happened; this is the data of one",
    )
    .empty_answer(204, "The job has ended, and you know all of its events")
}

/// What happened to a job; the event's name says which: `created`, `attempt_started`, `progress`, `cancel_requested`,
/// `attempt_ended`, `finished` or `retried`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
struct EventBody {
    at: DateTime<Utc>,
    /// The attempt it belongs to; 0 before the first.
    attempt: i32,
    /// Of `attempt_started`.
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_id: Option<WorkerId>,
    /// Of `progress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<JobProgress>,
    /// Of `attempt_ended`: `succeeded`, `retried`, `discarded`, `cancelled`, `interrupted`, `snoozed`, `waiting` or `crashed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// Of `finished`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<JobState>,
    /// Why it ended so.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JobFailure>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

async fn follow_job(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
    StrictQuery(NoParameters {}): StrictQuery<NoParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = job_id(&id)?;
    let after = resume::last_event_id(&headers)?;
    let job = find(&app, &session, id).await?;
    let Some(place) = app.streams.enter(&session, app.limits.streams_per_user) else {
        return Err(ApiError::new(
            Code::TooManyRequests,
            "You follow as many jobs as one user may at the same time. End one of these streams first.",
        )
        .retry_after(5));
    };
    let heartbeat = KeepAlive::new().interval(app.limits.heartbeat);
    let follow = Follow::begin(app, session, id, after, place).await?;
    if job.state.is_terminal() && follow.has_nothing_new() {
        // This status tells an EventSource not to come back.
        return Ok(success::NO_CONTENT.into_response());
    }
    let stream = Sse::new(follow.into_stream()).keep_alive(heartbeat);
    Ok(([UNBUFFERED], stream).into_response())
}

impl EventBody {
    /// The event's name and data.
    fn of(event: Event) -> (&'static str, Self) {
        let mut body = Self {
            at: event.at,
            attempt: event.id.attempt(),
            worker_id: None,
            progress: None,
            outcome: None,
            state: None,
            error: None,
        };
        let name = match event.what {
            What::Created => "created",
            What::AttemptStarted { worker } => {
                body.worker_id = worker;
                "attempt_started"
            }
            What::Progress(progress) => {
                body.progress = Some(JobProgress::of(&progress));
                "progress"
            }
            What::CancelRequested => "cancel_requested",
            What::AttemptEnded { outcome, error } => {
                body.outcome = Some(outcome);
                body.error = error.as_ref().map(JobFailure::of);
                "attempt_ended"
            }
            What::Finished { state, error } => {
                body.state = Some(state);
                body.error = error.as_ref().map(JobFailure::of);
                "finished"
            }
            What::Retried => "retried",
        };
        (name, body)
    }
}
