//! A job, immediately or when it has ended: `GET /v1/jobs/{id}`.
//!
//! A waiting request holds a task and nothing else: no pool connection, no row. It polls when the job's end is announced,
//! and every second as well, since an announcement may be lost.

use super::{JobBody, find, path};
use crate::{
    AppState,
    admission::Ticket,
    error::{ApiError, Code, success},
    etag,
    extract::{CurrentSession, Id, StrictQuery, Wait, prefer::PREFERENCE_APPLIED},
    metrics::InProgress,
    route_table::{Access, ResponseHeader, Route},
    slots::Slot,
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use base::{JobId, TenantId};
use jobs::{
    commands::sessions::signals::revoked,
    domain::{Session, UserId, session::Scope},
};
use queue::{JobState, JobView, signals::listener::Signal};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until},
};

/// Between two polls without an announcement.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The longest wait, and time for the response.
const TIMEOUT: Duration = Duration::from_secs(45);
/// A client that polls less often would miss a retry that was moved forward.
const MAX_RETRY_AFTER: i64 = 60;

const HEADERS: &[ResponseHeader] = &[
    ResponseHeader::ContentLocation,
    ResponseHeader::PreferenceApplied,
    ResponseHeader::RetryAfter,
];

pub(super) fn route() -> Route {
    Route::new(
        Method::GET,
        "/v1/jobs/{id}",
        "get_job",
        Access::Session(Scope::JobsRead),
        get_job,
    )
    .summary("Get a job and its output, or wait for its end")
    .timeout(TIMEOUT)
    .query::<Parameters>()
    .header::<String>(
        "Prefer",
        "`wait=N`: the same as `wait`, as a preference (RFC 7240).",
    )
    .header::<String>(
        "If-None-Match",
        "The ETag of the version that you have: 304 if it is the current one.",
    )
    .versioned::<JobBody>(200, "The job")
    .headers(HEADERS)
    .empty_answer(304, "The job is unchanged")
    .headers(&[ResponseHeader::ETag])
    .headers(HEADERS)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Respond when the job has ended, or after this many seconds; more than 30 means 30.
    #[schemars(range(min = 0))]
    wait: Option<u64>,
}

async fn get_job(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<JobId>,
    StrictQuery(parameters): StrictQuery<Parameters>,
    ticket: Ticket,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wait = Wait::of(&headers, parameters.wait);
    // Before the database is asked: a client that polls in a loop should cost little.
    let _slot = match wait.seconds {
        0 => None,
        _ => Some(poll_slot(&app, &session)?),
    };
    // Before the first read: an end between read and subscription would go unnoticed.
    let signals = app.listener.subscribe();
    let mut job = find(&app, &session, id).await?;
    if wait.seconds > 0 && !job.state.is_terminal() {
        // Waiting costs a task and a connection, of which there is another limit.
        ticket.release();
        let _waiting = InProgress::begin(&app.metrics.long_polls_waiting);
        job = wait_for_end(&app, &session, job, signals, wait.duration()).await?;
    }
    Ok(respond(&app, &job, wait, &headers))
}

fn poll_slot(app: &AppState, session: &Session) -> Result<Slot<(TenantId, UserId)>, ApiError> {
    let user = (session.tenant, session.user);
    let slot = app.polls.enter(user, app.limits.polls_per_user);
    slot.ok_or_else(|| {
        ApiError::new(
            Code::TooManyRequests,
            format!(
                "You have reached the limit of {} requests that wait for jobs. Follow several jobs with `GET /v1/jobs`.",
                app.limits.polls_per_user
            ),
        )
        .retry_after(5)
    })
}

/// Waits for the end of the job, of the wait or of the process, and reads the job then.
async fn wait_for_end(
    app: &AppState,
    session: &Session,
    mut job: JobView,
    mut signals: Receiver<Signal>,
    wait: Duration,
) -> Result<JobView, ApiError> {
    let deadline = Instant::now() + wait;
    loop {
        let next_poll = deadline.min(Instant::now() + POLL_INTERVAL);
        let revoked = tokio::select! {
            wake = next_wake(&mut signals, job.id, session) => wake == Wake::Revoked,
            () = sleep_until(next_poll) => false,
            () = app.stopping.cancelled() => return find(app, session, job.id).await,
        };
        if revoked {
            return Err(ApiError::new(
                Code::Unauthenticated,
                "Your session has ended. Log in again.",
            ));
        }
        job = match find(app, session, job.id).await {
            Ok(job) => job,
            // A full pool or a restarting database does not end the wait.
            Err(error) if error.code() == Code::Unavailable && Instant::now() < deadline => {
                continue;
            }
            Err(error) => return Err(error),
        };
        if job.state.is_terminal() || Instant::now() >= deadline {
            return Ok(job);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Poll,
    Revoked,
}

/// Resolves when an announcement concerns this wait, or may have been lost.
pub(super) async fn next_wake(
    signals: &mut Receiver<Signal>,
    job: JobId,
    session: &Session,
) -> Wake {
    loop {
        match signals.recv().await {
            Ok(Signal::JobsFinished { jobs }) if jobs.contains(&job) => return Wake::Poll,
            Ok(signal) if revoked(&signal) == Some(session.id) => {
                return Wake::Revoked;
            }
            Ok(Signal::Resumed) | Err(RecvError::Lagged(_)) => return Wake::Poll,
            Ok(_) => {}
            // The listener ended with the process; the wait's other branches go on.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn respond(app: &AppState, job: &JobView, wait: Wait, headers: &HeaderMap) -> Response {
    let body = JobBody::to_bytes(job);
    let etag = etag::strong(&body);
    let mut response = if etag::is_known(headers, &etag) {
        success::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    if !job.state.is_terminal() {
        headers.insert(header::RETRY_AFTER, retry_after(app, job).into());
    }
    if wait.preferred
        && let Ok(applied) = HeaderValue::try_from(format!("wait={}", wait.seconds))
    {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    if let Ok(location) = HeaderValue::try_from(path(job.id)) {
        headers.insert(header::CONTENT_LOCATION, location);
    }
    response
}

/// Seconds until the next poll may see a change.
fn retry_after(app: &AppState, job: &JobView) -> i64 {
    match job.state {
        JobState::Scheduled | JobState::Retryable => {
            let until = job.run_at - app.clock.now();
            (until.num_seconds() + 1).clamp(1, MAX_RETRY_AFTER)
        }
        _ => 1,
    }
}
