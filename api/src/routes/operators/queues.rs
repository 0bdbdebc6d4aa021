//! Queues on all workers: their depth, pausing, draining and resuming them.

use super::known_queue;
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, List, StrictJson},
    route_table::{Access, Route},
    routes::jobs::QueueName,
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
    operate::{limits, pause as pauses},
    view::stats,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const JSON: &str = "application/json";
/// The same as in the table's check.
const MAX_REASON: usize = 500;

pub(super) fn routes() -> Vec<Route> {
    let of_one = |route: Route| {
        route
            .path::<QueueName>("queue", "The queue's name.")
            .answer::<QueueBody>(200, "The queue as it is now")
    };
    vec![
        Route::new(
            Method::GET,
            "/v1/admin/queues",
            "list_queues",
            Access::Operators(Scope::OperatorsRead),
            list_queues,
        )
        .summary("List the queues with their depth and pauses")
        .answer::<List<QueueBody>>(200, "All queues"),
        of_one(
            Route::new(
                Method::POST,
                "/v1/admin/queues/{queue}/pause",
                "pause_queue",
                Access::Operators(Scope::OperatorsWrite),
                pause,
            )
            .summary("Pause a queue on all workers")
            .description("Workers claim no more of its jobs; jobs that already run go on.")
            .body::<PauseQueue>(JSON),
        ),
        of_one(
            Route::new(
                Method::POST,
                "/v1/admin/queues/{queue}/drain",
                "drain_queue",
                Access::Operators(Scope::OperatorsWrite),
                pause,
            )
            .summary("Pause a queue and count its running jobs")
            .description(
                "Poll `GET /v1/admin/queues` until `running` is 0: then the queue is drained.",
            )
            .body::<PauseQueue>(JSON),
        ),
        of_one(
            Route::new(
                Method::POST,
                "/v1/admin/queues/{queue}/resume",
                "resume_queue",
                Access::Operators(Scope::OperatorsWrite),
                resume,
            )
            .summary("Resume a queue"),
        ),
    ]
}

/// Why to pause a queue.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PauseQueue {
    /// Why, for other operators; tenants do not see it.
    #[schemars(length(min = 1, max = 500))]
    reason: String,
}

/// A queue on all workers.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QueueStatus")]
struct QueueBody {
    #[schemars(with = "QueueName")]
    name: String,
    /// Null if it is not paused.
    paused: Option<QueuePause>,
    /// Jobs that run now, on all workers; a paused queue is drained when this is 0.
    #[schemars(range(min = 0))]
    running: i64,
    /// Jobs by state at the last count; workers count every 15 seconds.
    depth: BTreeMap<String, i64>,
    /// When the jobs were counted; null before the first count.
    counted_at: Option<DateTime<Utc>>,
    /// The age of the oldest job that could run, in seconds; null if there is none, or if the queue is paused.
    #[schemars(range(min = 0))]
    oldest_available_seconds: Option<f64>,
    /// The limit on its running jobs; null if there is none.
    #[schemars(range(min = 1, max = 100_000))]
    max_running: Option<i32>,
}

/// Since when and why a queue is paused.
#[derive(Serialize, JsonSchema)]
struct QueuePause {
    at: DateTime<Utc>,
    reason: String,
}

async fn list_queues(State(app): State<AppState>) -> Result<Json<List<QueueBody>>, ApiError> {
    Ok(List::of(read_all(&app).await?))
}

/// Pauses, also to drain: the caller polls `running` until it is 0.
async fn pause(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(queue): Path<String>,
    StrictJson(body): StrictJson<PauseQueue>,
) -> Result<Json<QueueBody>, ApiError> {
    let queue = known_queue(&queue)?;
    let reason = reason(&body)?;
    let operator = Operator::User {
        session: &session,
        request_id: &context.request_id,
    };
    pause_queue(&app.pool, operator, queue, reason).await?;
    log_and_read(&app, &session, queue, "paused").await
}

async fn resume(
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
    log_and_read(&app, &session, queue, "resumed").await
}

async fn log_and_read(
    app: &App,
    session: &Session,
    queue: &str,
    what: &'static str,
) -> Result<Json<QueueBody>, ApiError> {
    tracing::info!(queue, user.id = %session.user, "queue {what}");
    let mut all = read_all(app).await?;
    all.retain(|body| body.name == queue);
    all.pop().map(Json).ok_or_else(ApiError::not_found)
}

fn reason(body: &PauseQueue) -> Result<&str, ApiError> {
    let reason = body.reason.trim();
    let fits = (1..=MAX_REASON).contains(&reason.chars().count());
    if fits && !reason.contains(char::is_control) {
        return Ok(reason);
    }
    Err(ApiError::new(
        Code::InvalidBody,
        "Give a reason of 1 to 500 characters on one line, for the other operators.",
    )
    .at(
        "/reason",
        "INVALID_VALUE",
        "Must have 1 to 500 characters and no control characters.",
    ))
}

async fn read_all(app: &App) -> Result<Vec<QueueBody>, ApiError> {
    let mut paused = pauses::paused(&app.pool).await?;
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
                .map(|pause| QueuePause {
                    at: pause.paused_at,
                    reason: pause.reason,
                }),
            running: pauses::running(&app.pool, queue).await?,
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
