//! The subscription of a webhook to the ends of jobs: `/v1/connections/{id}/subscription`. Workers deliver the events.

use super::invalid;
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, Id, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode},
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::subscriptions::{self, ReplayFrom, SubscriptionError},
    domain::{
        ConnectionId,
        session::Scope,
        subscription::{JobEndEvent, SubscriptionStatus},
        time::Moment,
    },
    store::{audit::Position, subscriptions::StoredSubscription},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PATH: &str = "/v1/connections/{id}/subscription";

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::ConnectionsOwn);
    vec![
        Route::new(Method::GET, PATH, "get_subscription", access, get)
            .summary("Get the subscription of a webhook")
            .answer::<Subscription>(200, "The subscription")
            .errors(&[Code::Conflict]),
        Route::new(Method::PUT, PATH, "put_subscription", access, put)
            .summary("Subscribe a webhook to job events")
            .description(
                "The webhook is called when jobs of the tenant end, from now on, in the order of the audit log and at least \
                 once each. A subscription that was suspended or has ended continues where it stopped; events of jobs that are no \
                 longer stored (`JOB_RETENTION_SECONDS` of the worker, 30 days by default) are left out.",
            )
            .body::<NewSubscription>("application/json")
            .answer::<Subscription>(200, "The subscription")
            .errors(&[Code::Conflict]),
        Route::new(Method::DELETE, PATH, "delete_subscription", access, delete)
            .summary("End the subscription of a webhook")
            .empty_answer(204, "The webhook is no longer called")
            .errors(&[Code::Conflict]),
        Route::new(
            Method::POST,
            "/v1/connections/{id}/subscription/replay",
            "replay_subscription",
            access,
            replay,
        )
        .summary("Replay events")
        .description(
            "Delivers events again from a moment on or after a position, under the ids that they had. Jobs that are no longer \
             stored are left out. Resumes a subscription that was suspended or has ended.",
        )
        .body::<Replay>("application/json")
        .answer::<Subscription>(200, "The subscription")
        .errors(&[Code::Conflict]),
    ]
}

/// A subscribed webhook.
#[derive(Serialize, JsonSchema)]
struct Subscription {
    status: SubscriptionStatus,
    events: Vec<JobEndEvent>,
    /// A place in the audit log: the events up to it were delivered. Give it to `replay` to come back to it.
    position: String,
    /// Why it is suspended or has ended; null while it is active.
    last_error: Option<String>,
    /// Events that the webhook has accepted.
    #[schemars(range(min = 0))]
    delivered: i64,
    last_delivered_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// What to subscribe to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewSubscription {
    /// All of them by default.
    #[serde(default = "all")]
    #[schemars(with = "Vec<JobEndEvent>", length(min = 1, max = 3))]
    events: Vec<String>,
}

fn all() -> Vec<String> {
    JobEndEvent::ALL.iter().map(ToString::to_string).collect()
}

/// From where to deliver again: exactly one of the two.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Replay {
    /// Events from this moment on.
    #[serde(default)]
    #[schemars(with = "Moment")]
    since: Option<Moment>,
    /// Events after this position of the subscription.
    #[serde(default)]
    #[schemars(with = "String", regex(pattern = "^[0-9]{1,19}\\.[0-9]{1,19}$"))]
    position: Option<String>,
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<ConnectionId>,
) -> Result<Json<Subscription>, ApiError> {
    let stored = subscriptions::get(&app.pool, &session, id).await?;
    Ok(Json(stored.into()))
}

async fn put(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ConnectionId>,
    StrictJson(body): StrictJson<NewSubscription>,
) -> Result<Json<Subscription>, ApiError> {
    let events = checked(&body.events)?;
    let stored = subscriptions::put(&app.pool, &session, id, &events, &context.request_id).await?;
    Ok(Json(stored.into()))
}

async fn delete(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ConnectionId>,
) -> Result<StatusCode, ApiError> {
    subscriptions::delete(&app.pool, &session, id, &context.request_id).await?;
    Ok(success::NO_CONTENT)
}

async fn replay(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ConnectionId>,
    StrictJson(body): StrictJson<Replay>,
) -> Result<Json<Subscription>, ApiError> {
    let from = body.check()?;
    let stored = subscriptions::replay(&app.pool, &session, id, from, &context.request_id).await?;
    Ok(Json(stored.into()))
}

/// Parses the events, each once.
fn checked(names: &[String]) -> Result<Vec<JobEndEvent>, ApiError> {
    if names.len() > JobEndEvent::ALL.len() {
        return Err(invalid("/events", "Name each event once."));
    }
    let mut events = Vec::new();
    for name in names {
        let event = JobEndEvent::parse(name).ok_or_else(|| {
            invalid(
                "/events",
                "Use `job.succeeded`, `job.discarded` and `job.cancelled`.",
            )
        })?;
        if !events.contains(&event) {
            events.push(event);
        }
    }
    if events.is_empty() {
        return Err(invalid("/events", "Name at least one event."));
    }
    Ok(events)
}

impl Replay {
    fn check(self) -> Result<ReplayFrom, ApiError> {
        match (self.since, self.position) {
            (Some(since), None) => Ok(ReplayFrom::Moment(since.utc())),
            (None, Some(position)) => Position::parse(&position)
                .map(ReplayFrom::Position)
                .ok_or_else(|| {
                    invalid(
                        "/position",
                        "Use the `position` of a subscription, such as `7041.12`.",
                    )
                }),
            _ => Err(invalid(
                "/since",
                "Give exactly one of `since` and `position`.",
            )),
        }
    }
}

impl From<StoredSubscription> for Subscription {
    fn from(stored: StoredSubscription) -> Self {
        Self {
            status: stored.status,
            events: stored.events,
            position: stored.position.to_string(),
            last_error: stored.last_error,
            delivered: stored.delivered,
            last_delivered_at: stored.last_delivered_at,
            created_at: stored.created_at,
        }
    }
}

impl From<SubscriptionError> for ApiError {
    fn from(error: SubscriptionError) -> Self {
        match error {
            SubscriptionError::NotFound => Self::not_found(),
            SubscriptionError::NoWebhook => Self::new(
                Code::Conflict,
                "This connection is not a webhook. Connect the receiver's URL with the provider `webhook`.",
            ),
            SubscriptionError::Ahead => invalid(
                "/position",
                "The audit log does not reach this position yet.",
            ),
            SubscriptionError::Database(source) => source.into(),
        }
    }
}
