//! `GET /v1/jobs/{id}`: how a job stands, at once or when it has ended.
//!
//! A waiting request holds a task and nothing else: no connection of the pool, no row. It looks again when the job's end
//! is announced, and every second all the same, since an announcement may be lost.

use super::{JobBody, find, job_id, path};
use crate::{
    AppState,
    error::{ApiError, Code, success},
    extract::{CurrentSession, StrictQuery, Wait, prefer::PREFERENCE_APPLIED},
    metrics::Ongoing,
    route_table::{Access, Place, Route},
};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use base::JobId;
use jobs::{
    commands::sessions::signals::revoked,
    domain::{Session, session::Scope},
};
use queue::{JobState, JobView, signals::listener::Signal};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{fmt::Write as _, time::Duration};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep_until},
};

/// Without an announcement, for it may be lost.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest wait, and time for the answer.
const TIMEOUT: Duration = Duration::from_secs(45);
/// A client that is told to come back later than this would miss a retry that was moved forward.
const LONGEST_RETRY_AFTER: i64 = 60;

pub(super) fn route() -> Route {
    Route::new(
        Method::GET,
        "/v1/jobs/{id}",
        "get_job",
        Access::Session(Scope::JobsRead),
        get_job,
    )
    .summary("How a job stands, and its result")
    .timeout(TIMEOUT)
    .parameter::<u64>(
        Place::Query,
        "wait",
        false,
        "Answer when the job has ended, or after so many seconds; at most 30",
    )
    .parameter::<String>(
        Place::Header,
        "Prefer",
        false,
        "`wait=N`: the same, as a preference",
    )
    .parameter::<String>(
        Place::Header,
        "If-None-Match",
        false,
        "The ETag of the job as you know it",
    )
    .answer::<JobBody>(200, "The job")
    .empty_answer(304, "The job is as you know it")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    wait: Option<u64>,
}

async fn get_job(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
    StrictQuery(parameters): StrictQuery<Parameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = job_id(&id)?;
    let wait = Wait::of(&headers, parameters.wait);
    // Before the first look: what ends between look and subscription would be slept over.
    let signals = app.listener.subscribe();
    let mut job = find(&app, &session, id).await?;
    if wait.seconds > 0 && !job.state.is_terminal() {
        let _waiting = Ongoing::begin(&app.metrics.long_polls_waiting);
        job = ended(&app, &session, job, signals, wait.duration()).await?;
    }
    Ok(respond(&app, &job, wait, &headers))
}

/// The job when it has ended, the wait is over or the process stops, as it stands then.
async fn ended(
    app: &AppState,
    session: &Session,
    mut job: JobView,
    mut signals: Receiver<Signal>,
    wait: Duration,
) -> Result<JobView, ApiError> {
    let deadline = Instant::now() + wait;
    loop {
        let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
        let revoked = tokio::select! {
            woken = announced(&mut signals, job.id, session) => woken == Woken::Revoked,
            () = sleep_until(look_again) => false,
            () = app.stopping.cancelled() => return find(app, session, job.id).await,
        };
        if revoked {
            return Err(ApiError::new(
                Code::Unauthenticated,
                "Your session has ended. Sign in again.",
            ));
        }
        job = match find(app, session, job.id).await {
            Ok(job) => job,
            // A full pool or a database that restarts is no reason to lose a wait that a later look may still fulfil.
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
pub(super) enum Woken {
    Look,
    Revoked,
}

/// Resolves when something was announced that concerns this wait, or may have been.
pub(super) async fn announced(
    signals: &mut Receiver<Signal>,
    job: JobId,
    session: &Session,
) -> Woken {
    loop {
        match signals.recv().await {
            Ok(Signal::JobFinished { job: finished }) if finished == job => return Woken::Look,
            Ok(signal) if revoked(&signal) == Some(session.id) => {
                return Woken::Revoked;
            }
            Ok(Signal::Resumed) | Err(RecvError::Lagged(_)) => return Woken::Look,
            Ok(_) => {}
            // The listener ended with the process; the other arms of the wait go on.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn respond(app: &AppState, job: &JobView, wait: Wait, headers: &HeaderMap) -> Response {
    let body = JobBody::to_bytes(job);
    let etag = etag(&body);
    let mut response = if is_known(headers, &etag) {
        success::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    let answered = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(etag) {
        answered.insert(header::ETAG, etag);
    }
    if !job.state.is_terminal() {
        answered.insert(header::RETRY_AFTER, retry_after(app, job).into());
    }
    if wait.preferred
        && let Ok(applied) = HeaderValue::try_from(format!("wait={}", wait.seconds))
    {
        answered.insert(PREFERENCE_APPLIED, applied);
    }
    if let Ok(location) = HeaderValue::try_from(path(job.id)) {
        answered.insert(header::CONTENT_LOCATION, location);
    }
    response
}

/// Seconds until looking again may be of use.
fn retry_after(app: &AppState, job: &JobView) -> i64 {
    match job.state {
        JobState::Scheduled | JobState::Retryable => {
            let until = job.run_at - app.clock.now();
            (until.num_seconds() + 1).clamp(1, LONGEST_RETRY_AFTER)
        }
        _ => 1,
    }
}

/// Strong: it names these bytes.
fn etag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let mut etag = String::from("\"");
    for byte in &digest[..16] {
        let _ = write!(etag, "{byte:02x}");
    }
    etag.push('"');
    etag
}

/// Whether the client has this very version, by weak comparison as RFC 9110 asks for.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == etag || known == "*")
}
