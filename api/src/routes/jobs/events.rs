//! The events of a job, as server-sent events: `GET /v1/jobs/{id}/events`.
//!
//! Every event carries an id; a client that reconnects with it as `Last-Event-ID` gets exactly the later ones, from this
//! process or another. [`stream`] writes them.

mod last_event_id;
mod stream;

use super::{JobFailure, JobProgress, attempts::AttemptOutcome, find};
use crate::{
    AppState,
    error::{ApiError, Code, success},
    extract::{CurrentSession, Id, NoQuery, StrictQuery},
    route_table::{Access, Route},
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, Method},
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
};
use base::{JobId, WorkerId};
use chrono::{DateTime, Utc};
use jobs::domain::session::Scope;
use queue::{
    JobState,
    view::events::{Event, EventKind},
};
use schemars::JsonSchema;
use serde::Serialize;
use stream::EventStream;

/// Tells nginx and compatible proxies not to buffer the stream.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

pub(super) fn route() -> Route {
    Route::new(
        Method::GET,
        "/v1/jobs/{id}/events",
        "follow_job",
        Access::Session(Scope::JobsRead),
        follow_job,
    )
    .summary("Stream a job's events")
    .description(
        "Sends past events, then new ones until the job has ended. Reconnect with `Last-Event-ID`.",
    )
    .query::<NoQuery>()
    .header::<String>(
        "Last-Event-ID",
        "The id of the last event that you received: only later ones are sent.",
    )
    .streamed_answer::<EventBody>(200, "Server-sent events; this is the data of one")
    .empty_answer(204, "The job has ended, and you received all of its events")
    .errors(&[Code::TooManyRequests])
}

/// An event of a job. Its name is `created`, `attempt_started`, `progress`, `cancel_requested`, `attempt_ended`, `finished`
/// or `retried`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobEvent")]
struct EventBody {
    at: DateTime<Utc>,
    /// The attempt it belongs to; 0 before the first.
    #[schemars(range(min = 0))]
    attempt: i32,
    /// Only of `attempt_started`.
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_id: Option<WorkerId>,
    /// Only of `progress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<JobProgress>,
    /// Only of `attempt_ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<AttemptOutcome>")]
    outcome: Option<String>,
    /// Only of `finished`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<JobState>,
    /// The error of a failed attempt or job.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JobFailure>,
}

async fn follow_job(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<JobId>,
    StrictQuery(NoQuery {}): StrictQuery<NoQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = last_event_id::parse(&headers)?;
    let job = find(&app, &session, id).await?;
    let Some(slot) = app
        .streams
        .enter((session.tenant, session.user), app.limits.streams_per_user)
    else {
        return Err(ApiError::new(
            Code::TooManyRequests,
            format!(
                "You have reached the limit of {} event streams. Close one first.",
                app.limits.streams_per_user
            ),
        )
        .retry_after(5));
    };
    let heartbeat = KeepAlive::new().interval(app.limits.heartbeat);
    let events = EventStream::open(app, session, id, after, slot).await?;
    if job.state.is_terminal() && events.has_nothing_new() {
        // This status tells an EventSource not to reconnect.
        return Ok(success::NO_CONTENT.into_response());
    }
    let stream = Sse::new(events.into_stream()).keep_alive(heartbeat);
    Ok(([UNBUFFERED], stream).into_response())
}

impl EventBody {
    /// Returns the event's name and data.
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
        let name = match event.kind {
            EventKind::Created => "created",
            EventKind::AttemptStarted { worker } => {
                body.worker_id = worker;
                "attempt_started"
            }
            EventKind::Progress(progress) => {
                body.progress = Some(JobProgress::of(&progress));
                "progress"
            }
            EventKind::CancelRequested => "cancel_requested",
            EventKind::AttemptEnded { outcome, error } => {
                body.outcome = Some(outcome);
                body.error = error.as_ref().map(JobFailure::of);
                "attempt_ended"
            }
            EventKind::Finished { state, error } => {
                body.state = Some(state);
                body.error = error.as_ref().map(JobFailure::of);
                "finished"
            }
            EventKind::Retried => "retried",
        };
        (name, body)
    }
}
