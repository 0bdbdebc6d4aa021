//! Why a job is not running, for programs and for people: `GET /v1/jobs/{id}/explain`.

use super::find;
use crate::{
    AppState,
    error::ApiError,
    extract::{CurrentSession, Id},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use base::JobId;
use chrono::{DateTime, SecondsFormat, Utc};
use jobs::domain::session::Scope;
use queue::{
    JobState,
    operate::limits::Scope as LimitScope,
    view::explain::{Facts, MAX_AHEAD, facts},
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
    .summary("Explain why a job is not running")
    .answer::<Explanation>(200, "All reasons that apply now")
}

/// Why a job is not running.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JobExplanation")]
struct Explanation {
    state: JobState,
    #[schemars(length(min = 1))]
    reasons: Vec<Reason>,
}

/// One reason.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JobExplanationReason")]
struct Reason {
    code: ReasonCode,
    /// For people.
    message: String,
    /// When the reason ends, if that is known.
    until: Option<DateTime<Utc>>,
    /// What the reached limit is on.
    #[schemars(with = "Option<LimitScope>")]
    scope: Option<String>,
    #[schemars(range(min = 1, max = 100_000))]
    max_running: Option<i32>,
    /// Your jobs ahead of this one in its queue; 1000 stands for 1000 or more.
    #[schemars(range(min = 0, max = 1000))]
    ahead: Option<i64>,
    /// Why its last attempt failed or was snoozed.
    error_code: Option<String>,
}

/// Why a job is not running, for programs.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "JobExplanationCode")]
enum ReasonCode {
    Ended,
    Running,
    QueuePaused,
    TenantPaused,
    /// Its first attempt is scheduled for later.
    WaitsForTime,
    /// Its next attempt after a failure is scheduled.
    WaitsForRetry,
    /// It was rescheduled without a failure, such as by a provider's rate limit.
    Snoozed,
    WaitsForChildren,
    LimitReached,
    InLine,
    /// No worker serves its queue at present.
    NoWorker,
}

async fn explain_job(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<JobId>,
) -> Result<Json<Explanation>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let found = facts(&mut conn, session.tenant, id).await?;
    drop(conn);
    let explanation = match found.and_then(|facts| Some((JobState::parse(&facts.state)?, facts))) {
        Some((state, facts)) => Explanation {
            state,
            reasons: reasons(state, facts),
        },
        // Ended, or retried between the two reads: either way its present state.
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
        // Without the reason of the pause: it is for operators and may name another tenant.
        let message = format!("The queue {} is paused.", facts.queue);
        reasons.push(Reason::new(ReasonCode::QueuePaused, message));
    }
    if facts.awaits_children {
        let message = format!(
            "It waits for {} child jobs to end.",
            number(facts.children_left)
        );
        reasons.push(Reason::new(ReasonCode::WaitsForChildren, message));
    } else if facts.is_early {
        reasons.push(early(state, &facts));
    }
    if let (Some(scope), Some(max)) = (facts.limit_scope, facts.limit_max) {
        if max == 0 {
            // No operator can set such a limit: it is how a tenant is paused.
            reasons.push(Reason::new(
                ReasonCode::TenantPaused,
                "The tenant is paused.",
            ));
        } else {
            let message = format!("The limit of its {scope} is reached: {max} running jobs.");
            reasons.push(Reason {
                scope: Some(scope),
                max_running: Some(max),
                ..Reason::new(ReasonCode::LimitReached, message)
            });
        }
    }
    if reasons.is_empty() {
        let message = format!("It is queued behind {} of your jobs.", number(facts.ahead));
        reasons.push(Reason {
            ahead: Some(facts.ahead),
            ..Reason::new(ReasonCode::InLine, message)
        });
    }
    if !facts.has_worker {
        let message = format!("No worker serves the queue {} at present.", facts.queue);
        reasons.push(Reason::new(ReasonCode::NoWorker, message));
    }
    reasons
}

/// A number that was counted up to [`MAX_AHEAD`].
fn number(counted: i64) -> String {
    if counted < MAX_AHEAD {
        counted.to_string()
    } else {
        format!("{MAX_AHEAD} or more")
    }
}

/// Why the job may not run before its time.
fn early(state: JobState, facts: &Facts) -> Reason {
    let until = facts.run_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (code, why, error_code) = match (state, &facts.snoozed_by) {
        (JobState::Retryable, _) => (
            ReasonCode::WaitsForRetry,
            "Its last attempt failed; it is retried".to_owned(),
            facts.last_error_code.clone(),
        ),
        (_, Some(snoozed_by)) => (
            ReasonCode::Snoozed,
            why_snoozed(snoozed_by, facts.snooze_message.as_deref()),
            Some(snoozed_by.clone()),
        ),
        (_, None) => (
            ReasonCode::WaitsForTime,
            "It is scheduled to run".to_owned(),
            None,
        ),
    };
    Reason {
        until: Some(facts.run_at),
        error_code,
        ..Reason::new(code, format!("{why} at {until}."))
    }
}

/// Returns why a job was snoozed, to be followed by a time.
fn why_snoozed(code: &str, message: Option<&str>) -> String {
    let why = match (code, message) {
        // Its message names the model.
        ("llm_rate_reached", Some(message)) => {
            return format!("{}, or tries again", message.trim_end_matches('.'));
        }
        (code, _) => why_waiting(code),
    };
    why.to_owned()
}

fn why_waiting(code: &str) -> &'static str {
    match code {
        "llm_unavailable" => {
            "The language model is unavailable; the job continues when it is back, or tries again"
        }
        "llm_rate_limited" => {
            "The language model limits our requests; the job continues after the limit, or tries again"
        }
        "llm_quota_exhausted" => {
            "The quota at the language model's provider is used up; the job tries again"
        }
        "llm_stopped" => {
            "The language model rejects our requests until an operator acts; the job tries again"
        }
        "backfill_over_budget" => {
            "Your budget for the language model is used up; the backfill continues when it is renewed or raised"
        }
        "llm_over_budget" => "Your budget for the language model is used up; the job continues",
        "llm_price_unknown" => {
            "Your budget is in money and the language model has no known price; the job tries again"
        }
        "llm_batched" => {
            "Its question is in a batch, which is answered within a day; the job continues with the answer, or looks for it"
        }
        _ => "It was snoozed; it continues",
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
