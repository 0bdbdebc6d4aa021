//! Queues over all workers: how full they are, holding one still, draining it and letting it go on.

use super::known_queue;
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::{Path, State},
    http::Method,
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::operators::{Operator, pause_queue, resume_queue},
    domain::session::{Scope, Session},
    kinds::queues,
};
use queue::{
    operate::{limits, pause},
    view::stats,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const JSON: &str = "application/json";
/// As the table has it.
const LONGEST_REASON: usize = 500;

pub(super) fn routes() -> Vec<Route> {
    let holding = |route: Route| {
        route
            .body::<WhyPaused>(JSON)
            .answer::<QueueBody>(200, "The queue as it stands now")
    };
    vec![
        Route::new(
            Method::GET,
            "/v1/admin/queues",
            "list_queues",
            Access::Fleet(Scope::FleetRead),
            list_queues,
        )
        .summary("How full the queues are and whether they are held still")
        .answer::<Queues>(200, "Every queue"),
        holding(
            Route::new(
                Method::POST,
                "/v1/admin/queues/{queue}/pause",
                "pause_queue",
                Access::Fleet(Scope::FleetWrite),
                hold_still,
            )
            .summary("Hold a queue still on all workers; what runs goes on"),
        ),
        holding(
            Route::new(
                Method::POST,
                "/v1/admin/queues/{queue}/drain",
                "drain_queue",
                Access::Fleet(Scope::FleetWrite),
                hold_still,
            )
            .summary("Hold a queue still and learn how many of its jobs still run"),
        ),
        Route::new(
            Method::POST,
            "/v1/admin/queues/{queue}/resume",
            "resume_queue",
            Access::Fleet(Scope::FleetWrite),
            go_on,
        )
        .summary("Let a queue go on")
        .answer::<QueueBody>(200, "The queue as it stands now"),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhyPaused {
    /// For other operators, 1 to 500 characters; tenants do not see it.
    reason: String,
}

#[derive(Serialize, JsonSchema)]
struct Queues {
    items: Vec<QueueBody>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Queue")]
struct QueueBody {
    name: String,
    /// Null while it goes on.
    paused: Option<Paused>,
    /// Jobs that run now, on all workers; a paused queue is drained when this is 0.
    running: i64,
    /// Jobs by state at the last count, which is made every 15 seconds while workers run.
    depth: BTreeMap<String, i64>,
    /// When they were counted; null before the first time.
    counted_at: Option<DateTime<Utc>>,
    /// How long the longest waiting job could have been claimed and was not.
    oldest_available_seconds: Option<f64>,
    /// The limit on its running jobs, if there is one.
    max_running: Option<i32>,
}

#[derive(Serialize, JsonSchema)]
struct Paused {
    at: DateTime<Utc>,
    reason: String,
}

async fn list_queues(State(app): State<AppState>) -> Result<Json<Queues>, ApiError> {
    let items = look(&app).await?;
    Ok(Json(Queues { items }))
}

/// Pauses; whoever drains looks at `running` until it is 0.
async fn hold_still(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(queue): Path<String>,
    StrictJson(asked): StrictJson<WhyPaused>,
) -> Result<Json<QueueBody>, ApiError> {
    let queue = known_queue(&queue)?;
    let reason = reason(&asked)?;
    let operator = Operator::User {
        session: &session,
        request_id: &context.request_id,
    };
    pause_queue(&app.pool, operator, queue, reason).await?;
    told(&app, &session, queue, "paused").await
}

async fn go_on(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(queue): Path<String>,
) -> Result<Json<QueueBody>, ApiError> {
    let queue = known_queue(&queue)?;
    let operator = Operator::User {
        session: &session,
        request_id: &context.request_id,
    };
    resume_queue(&app.pool, &app.notifier, operator, queue).await?;
    told(&app, &session, queue, "resumed").await
}

async fn told(
    app: &App,
    session: &Session,
    queue: &str,
    what: &'static str,
) -> Result<Json<QueueBody>, ApiError> {
    tracing::info!(queue, user.id = %session.user, "a queue was {what}");
    let mut all = look(app).await?;
    all.retain(|body| body.name == queue);
    all.pop().map(Json).ok_or_else(ApiError::not_found)
}

fn reason(asked: &WhyPaused) -> Result<&str, ApiError> {
    let reason = asked.reason.trim();
    let fits = (1..=LONGEST_REASON).contains(&reason.chars().count());
    if fits && !reason.contains(char::is_control) {
        return Ok(reason);
    }
    Err(ApiError::new(
        Code::InvalidBody,
        "Say in a line of at most 500 characters why, for whoever finds the queue paused.",
    )
    .at(
        "/reason",
        "INVALID_VALUE",
        "1 to 500 characters without control characters",
    ))
}

async fn look(app: &App) -> Result<Vec<QueueBody>, ApiError> {
    let mut paused = pause::paused(&app.pool).await?;
    let sample = stats::read_sample(&app.pool).await?;
    let limits = limits::list(&mut *app.pool.acquire().await?).await?;
    let mut all = Vec::new();
    for queue in queues() {
        let counts = sample.iter().filter(|depth| depth.queue == queue);
        all.push(QueueBody {
            name: queue.to_owned(),
            paused: paused
                .extract_if(.., |pause| pause.queue == queue)
                .next()
                .map(|pause| Paused {
                    at: pause.paused_at,
                    reason: pause.reason,
                }),
            running: pause::running(&app.pool, queue).await?,
            depth: counts
                .clone()
                .map(|depth| (depth.state.clone(), depth.jobs))
                .collect(),
            counted_at: counts.clone().map(|depth| depth.sampled_at).max(),
            oldest_available_seconds: counts.clone().find_map(|depth| depth.oldest_age_seconds),
            max_running: limits
                .iter()
                .find(|limit| limit.scope == limits::Scope::Queue && limit.name == queue)
                .map(|limit| limit.max_running),
        });
    }
    Ok(all)
}
