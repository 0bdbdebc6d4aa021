//! The attempts of a job: `GET /v1/jobs/{id}/attempts`.

use super::{JobFailure, find};
use crate::{
    AppState,
    error::ApiError,
    extract::{CurrentSession, Id, List},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use base::{JobId, WorkerId};
use chrono::{DateTime, Utc};
use jobs::domain::session::Scope;
use queue::view::attempts::{AttemptView, attempts};
use schemars::JsonSchema;
use serde::Serialize;

/// A job that is snoozed for days has more attempts than are of use.
const MAX_ATTEMPTS: i64 = 200;

pub(super) fn route() -> Route {
    Route::new(
        Method::GET,
        "/v1/jobs/{id}/attempts",
        "list_attempts",
        Access::Session(Scope::JobsRead),
        list_attempts,
    )
    .summary("List a job's attempts, oldest first (at most the last 200)")
    .answer::<List<AttemptBody>>(200, "The attempts")
}

/// One attempt of a job.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JobAttempt")]
struct AttemptBody {
    /// Counts every claim, interrupted and snoozed attempts included.
    #[schemars(range(min = 1))]
    attempt: i32,
    worker_id: Option<WorkerId>,
    started_at: Option<DateTime<Utc>>,
    /// Null while it runs.
    ended_at: Option<DateTime<Utc>>,
    #[schemars(with = "AttemptOutcome")]
    outcome: String,
    error: Option<JobFailure>,
}

/// How an attempt ended, or that it runs.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes what was stored as text")]
pub(super) enum AttemptOutcome {
    Running,
    Succeeded,
    /// It failed and is tried again.
    Retried,
    /// It failed for the last time.
    Discarded,
    Cancelled,
    /// Its worker stopped; the attempt does not count.
    Interrupted,
    /// It goes on at a later time; the attempt does not count.
    Snoozed,
    /// It waits for its child jobs.
    Waiting,
    /// Its worker died.
    Crashed,
}

async fn list_attempts(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<JobId>,
) -> Result<Json<List<AttemptBody>>, ApiError> {
    find(&app, &session, id).await?;
    let mut conn = app.pool.acquire().await?;
    let found = attempts(&mut conn, session.tenant, id, MAX_ATTEMPTS).await?;
    Ok(List::of(found))
}

impl From<AttemptView> for AttemptBody {
    fn from(attempt: AttemptView) -> Self {
        let message = attempt.error_message.unwrap_or_default();
        Self {
            attempt: attempt.attempt,
            worker_id: attempt.worker,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            outcome: attempt.outcome,
            error: attempt.error_code.map(|code| JobFailure { code, message }),
        }
    }
}
