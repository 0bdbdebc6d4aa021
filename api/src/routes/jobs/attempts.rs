//! `GET /v1/jobs/{id}/attempts`: what became of each claim of a job.

use super::{JobFailure, find, job_id};
use crate::{
    AppState,
    error::ApiError,
    extract::CurrentSession,
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::{Path, State},
    http::Method,
};
use base::WorkerId;
use chrono::{DateTime, Utc};
use jobs::domain::session::Scope;
use queue::view::attempts::{AttemptView, attempts};
use schemars::JsonSchema;
use serde::Serialize;

/// A job that is snoozed for days has more of them than anybody reads.
const MOST: i64 = 200;

pub(super) fn route() -> Route {
    Route::new(
        Method::GET,
        "/v1/jobs/{id}/attempts",
        "list_attempts",
        Access::Session(Scope::JobsRead),
        list_attempts,
    )
    .summary("What became of each attempt of a job, the first first; of many, the last 200")
    .answer::<AttemptList>(200, "The attempts")
}

#[derive(Serialize, JsonSchema)]
struct AttemptList {
    items: Vec<AttemptBody>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
struct AttemptBody {
    /// Counts every claim, those included that were interrupted or put off.
    attempt: i32,
    worker_id: Option<WorkerId>,
    started_at: Option<DateTime<Utc>>,
    /// Null while it runs.
    ended_at: Option<DateTime<Utc>>,
    /// `running`, `succeeded`, `retried`, `discarded`, `cancelled`, `interrupted`, `snoozed`, `waiting` or `crashed`.
    outcome: String,
    error: Option<JobFailure>,
}

async fn list_attempts(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Json<AttemptList>, ApiError> {
    let id = job_id(&id)?;
    find(&app, &session, id).await?;
    let mut conn = app.pool.acquire().await?;
    let found = attempts(&mut conn, session.tenant, id, MOST).await?;
    let items = found.into_iter().map(AttemptBody::from).collect();
    Ok(Json(AttemptList { items }))
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
