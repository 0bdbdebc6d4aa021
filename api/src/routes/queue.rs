//! `/v1/queue`: what waits for a person, a few at a time, and what they do with it. The version is the ETag.

use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, IfMatch, StrictJson},
    route_table::{Access, Place, Route},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderName, Method, header},
};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    commands::{
        inbox::{self, ItemCommand},
        record::command::Caller,
    },
    domain::{
        ActionItemId, MessageId, Session, TaskId,
        draft::schedule::zone,
        inbox::{Bucket, ItemSource, ItemState, Until},
        judgement::Priority,
        session::Scope,
    },
    store::{
        action_items::{self, StoredItem},
        users,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const JSON: &str = "application/json";
const READ: Access = Access::Session(Scope::DeskRead);
const WRITE: Access = Access::Session(Scope::DeskWrite);

/// More at once is no help to anybody.
const VISIBLE: usize = 5;
/// What takes their places.
const PRELOADED: usize = 10;

pub fn routes() -> Vec<Route> {
    let read = [
        Route::new(Method::GET, "/v1/queue", "get_queue", READ, queue)
            .summary("What waits for you, the most urgent first: five to see, the next ten to have at hand")
            .answer::<Queue>(200, "The queue, and where it can be put off to now"),
        Route::new(Method::GET, "/v1/queue/{id}", "get_queue_item", READ, get)
            .summary("One item of the queue")
            .answer::<Item>(200, "The item, its version as ETag"),
    ];
    let write = [
        Route::new(
            Method::POST,
            "/v1/queue/{id}/defer",
            "defer_queue_item",
            WRITE,
            defer,
        )
        .summary("Put an item off; it is back by itself")
        .body::<Deferral>(JSON),
        Route::new(
            Method::POST,
            "/v1/queue/{id}/complete",
            "complete_queue_item",
            WRITE,
            complete,
        )
        .summary("Say that an item is done"),
        Route::new(
            Method::POST,
            "/v1/queue/{id}/dismiss",
            "dismiss_queue_item",
            WRITE,
            dismiss,
        )
        .summary("Say that nothing is to be done about an item"),
        Route::new(
            Method::POST,
            "/v1/queue/{id}/reopen",
            "reopen_queue_item",
            WRITE,
            reopen,
        )
        .summary("Put an item back into the queue, whatever was done with it"),
    ]
    .map(|route| {
        route
            .parameter::<String>(
                Place::Header,
                "If-Match",
                true,
                "The ETag of the item as you have seen it",
            )
            .answer::<Item>(200, "The item as it is now")
    });
    read.into_iter().chain(write).collect()
}

/// What waits for a person.
#[derive(Serialize, JsonSchema)]
struct Queue {
    /// To be seen now, at most five.
    visible: Vec<Item>,
    /// What takes their places, at most ten.
    next: Vec<Item>,
    /// How many wait in all.
    waiting: i64,
    /// How many are put off.
    deferred: i64,
    /// Where an item can be put off to at this hour.
    defer_to: Vec<Offer>,
}

/// A moment to put something off to.
#[derive(Serialize, JsonSchema)]
struct Offer {
    bucket: Bucket,
    until: DateTime<Utc>,
}

/// Something that waits for a person.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QueueItem")]
struct Item {
    id: ActionItemId,
    source: ItemSource,
    title: String,
    /// Why it waits.
    rationale: String,
    priority: Priority,
    state: ItemState,
    defer_until: Option<DateTime<Utc>>,
    /// The task that it became.
    task_id: Option<TaskId>,
    /// The mail it came from.
    message_id: Option<MessageId>,
    /// The job that put it here.
    job_id: Option<JobId>,
    /// Grows with every change.
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Until when: a bucket or a moment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Deferral {
    #[serde(default)]
    bucket: Option<Bucket>,
    /// RFC 3339, `tomorrow 09:00` or `monday 09:00` in your zone; at most a year ahead.
    #[serde(default)]
    until: Option<String>,
}

type Versioned = ([(HeaderName, String); 1], Json<Item>);

async fn queue(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<Queue>, ApiError> {
    let (tenant, user) = (session.tenant, session.user);
    let mut conn = app.pool.acquire().await?;
    let limit = i64::try_from(VISIBLE + PRELOADED).map_err(ApiError::internal)?;
    let found = action_items::waiting(&mut conn, tenant, user, limit).await?;
    let (waiting, deferred) = action_items::count(&mut conn, tenant, user).await?;
    let person = users::correspondent(&mut conn, tenant, user).await?;
    let zone = zone(person.as_ref().map_or("UTC", |person| &person.timezone));
    let mut items = found.into_iter().map(Item::from);
    Ok(Json(Queue {
        visible: items.by_ref().take(VISIBLE).collect(),
        next: items.collect(),
        waiting,
        deferred,
        defer_to: Bucket::offered(zone, app.clock.now())
            .into_iter()
            .map(|(bucket, until)| Offer { bucket, until })
            .collect(),
    }))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Versioned, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let (tenant, user) = (session.tenant, Some(session.user));
    action_items::find(&mut conn, tenant, user, read_id(&id)?)
        .await?
        .map(versioned)
        .ok_or_else(ApiError::not_found)
}

async fn defer(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
    StrictJson(body): StrictJson<Deferral>,
) -> Result<Versioned, ApiError> {
    let until = match (body.bucket, body.until.as_deref()) {
        (Some(bucket), None) => Some(Until::Bucket(bucket)),
        (None, Some(text)) => Until::parse(text),
        _ => None,
    };
    let until = until.ok_or_else(|| {
        ApiError::new(
            Code::InvalidBody,
            "Send either a `bucket` or a moment as `until`.",
        )
        .at(
            "/until",
            "INVALID_VALUE",
            "It is no moment, or there are two.",
        )
    })?;
    wish(
        &app,
        &session,
        &context,
        &id,
        seen,
        ItemCommand::Defer(until),
    )
    .await
}

async fn complete(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    wish(&app, &session, &context, &id, seen, ItemCommand::Complete).await
}

async fn dismiss(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    wish(&app, &session, &context, &id, seen, ItemCommand::Dismiss).await
}

async fn reopen(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    wish(&app, &session, &context, &id, seen, ItemCommand::Reopen).await
}

async fn wish(
    app: &App,
    session: &Session,
    context: &RequestContext,
    id: &str,
    IfMatch(version): IfMatch,
    wish: ItemCommand,
) -> Result<Versioned, ApiError> {
    let asking = Caller {
        session,
        request_id: &context.request_id,
    };
    let (id, now) = (read_id(id)?, app.clock.now());
    let item = inbox::execute(&app.pool, asking, id, version, wish, now).await?;
    Ok(versioned(item))
}

fn read_id(id: &str) -> Result<ActionItemId, ApiError> {
    id.parse().map_err(|_| ApiError::not_found())
}

fn versioned(item: StoredItem) -> Versioned {
    let etag = format!("\"{}\"", item.version);
    ([(header::ETAG, etag)], Json(item.into()))
}

impl From<StoredItem> for Item {
    fn from(item: StoredItem) -> Self {
        Self {
            id: item.id,
            source: item.source,
            title: item.title,
            rationale: item.rationale,
            priority: item.priority,
            state: item.state,
            defer_until: item.defer_until,
            task_id: item.task,
            message_id: item.message,
            job_id: item.job,
            version: item.version,
            created_at: item.created_at,
            updated_at: item.updated_at,
        }
    }
}
