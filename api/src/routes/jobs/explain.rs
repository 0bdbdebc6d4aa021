//! `GET /v1/jobs/{id}/explain`: why a job is not running, for programs and for people.

use super::{find, job_id};
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
use chrono::{DateTime, SecondsFormat, Utc};
use jobs::domain::session::Scope;
use queue::{
    JobState,
    view::explain::{Facts, facts},
};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) fn route() -> Route {
    Route::new(
        Method::GET,
        "/v1/jobs/{id}/explain",
        "explain_job",
        Access::Session(Scope::JobsRead),
        explain_job,
    )
    .summary("Why a job is not running")
    .answer::<Explanation>(200, "Every reason that holds now")
}

#[derive(Serialize, JsonSchema)]
struct Explanation {
    state: JobState,
    /// Never empty.
    reasons: Vec<Reason>,
}

/// One thing that holds the job back, or where it is instead.
#[derive(Serialize, JsonSchema)]
struct Reason {
    code: ReasonCode,
    /// For people.
    message: String,
    /// When it ends, if that is known.
    until: Option<DateTime<Utc>>,
    /// The limit that is reached: `queue`, `kind` or `tenant`.
    scope: Option<String>,
    max_running: Option<i32>,
    /// Your jobs ahead of this one in its queue; 1000 stands for more too.
    ahead: Option<i64>,
    /// Why its last attempt was put off or failed.
    error_code: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ReasonCode {
    Ended,
    Running,
    QueuePaused,
    /// For its first attempt.
    WaitsForTime,
    /// After a failure.
    WaitsForRetry,
    /// Put off, such as by a provider that asked to be left alone.
    Snoozed,
    WaitsForChildren,
    LimitReached,
    InLine,
}

async fn explain_job(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Json<Explanation>, ApiError> {
    let id = job_id(&id)?;
    let mut conn = app.pool.acquire().await?;
    let found = facts(&mut conn, session.tenant, id).await?;
    drop(conn);
    let explanation = match found.and_then(|facts| Some((JobState::parse(&facts.state)?, facts))) {
        Some((state, facts)) => Explanation {
            state,
            reasons: reasons(state, facts),
        },
        // Ended, or moved back in the moment between the two looks: either way as it stands now.
        None => Explanation {
            state: find(&app, &session, id).await?.state,
            reasons: vec![Reason::new(ReasonCode::Ended, "The job has ended.")],
        },
    };
    Ok(Json(explanation))
}

fn reasons(state: JobState, facts: Facts) -> Vec<Reason> {
    if state == JobState::Running {
        return vec![Reason::new(ReasonCode::Running, "The job is running.")];
    }
    let mut reasons = Vec::new();
    if facts.is_paused {
        // Not the reason: it was written for operators and may name another tenant.
        let message = format!("The queue {} is held still for now.", facts.queue);
        reasons.push(Reason::new(ReasonCode::QueuePaused, message));
    }
    if facts.awaits_children {
        let message = format!(
            "{} of the jobs it waits for have not ended.",
            facts.children_left
        );
        reasons.push(Reason::new(ReasonCode::WaitsForChildren, message));
    } else if facts.is_early {
        reasons.push(early(state, &facts));
    }
    if let (Some(scope), Some(max)) = (facts.limit_scope, facts.limit_max) {
        let message = format!("As many jobs run as the limit of its {scope} allows: {max}.");
        reasons.push(Reason {
            scope: Some(scope),
            max_running: Some(max),
            ..Reason::new(ReasonCode::LimitReached, message)
        });
    }
    if reasons.is_empty() {
        let message = format!("It waits its turn behind {} jobs of yours.", facts.ahead);
        reasons.push(Reason {
            ahead: Some(facts.ahead),
            ..Reason::new(ReasonCode::InLine, message)
        });
    }
    reasons
}

/// Why the job has a time before which it is left alone.
fn early(state: JobState, facts: &Facts) -> Reason {
    let until = facts.run_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (code, why, error_code) = match (state, &facts.snoozed_by) {
        (JobState::Retryable, _) => (
            ReasonCode::WaitsForRetry,
            "Its last attempt failed; the next one begins",
            facts.last_error_code.clone(),
        ),
        (_, Some(snoozed_by)) => (
            ReasonCode::Snoozed,
            "It was put off; it goes on",
            Some(snoozed_by.clone()),
        ),
        (_, None) => (ReasonCode::WaitsForTime, "It is to run", None),
    };
    Reason {
        until: Some(facts.run_at),
        error_code,
        ..Reason::new(code, format!("{why} at {until}."))
    }
}

impl Reason {
    fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            until: None,
            scope: None,
            max_running: None,
            ahead: None,
            error_code: None,
        }
    }
}
