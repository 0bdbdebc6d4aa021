//! `/v1/inbox`: what needs a user's attention, a few items at a time, and what they do with it. The version is the ETag.

use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code},
    etag::{Versioned, has_version},
    extract::{CurrentSession, Id, IfMatch, StrictJson},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    commands::{
        inbox::{self, ItemCommand},
        record::command::Caller,
    },
    domain::{
        InboxItemId, MessageId, Session, TaskId,
        draft::send_at::zone,
        inbox::{Bucket, ItemSource, ItemState, Until},
        judgement::Priority,
        session::Scope,
    },
    store::{
        inbox_items::{self, ItemCounts, StoredItem},
        users,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const JSON: &str = "application/json";
const READ: Access = Access::Session(Scope::RecordsRead);
const WRITE: Access = Access::Session(Scope::RecordsWrite);

/// How many items are shown at once.
const VISIBLE: usize = 5;
/// How many follow.
const PRELOADED: usize = 10;

pub fn routes() -> Vec<Route> {
    let read = [
        Route::new(Method::GET, "/v1/inbox", "get_inbox", READ, inbox)
            .summary("Get the inbox, most urgent first: five items to show and the next ten")
            .answer::<Inbox>(200, "The inbox, and when its items can be deferred to now"),
        Route::new(Method::GET, "/v1/inbox/{id}", "get_inbox_item", READ, get)
            .summary("Get an inbox item")
            .versioned::<Item>(200, "The item"),
    ];
    let write = [
        Route::new(
            Method::POST,
            "/v1/inbox/{id}/defer",
            "defer_inbox_item",
            WRITE,
            defer,
        )
        .summary("Defer an inbox item")
        .body::<Deferral>(JSON),
        Route::new(
            Method::POST,
            "/v1/inbox/{id}/complete",
            "complete_inbox_item",
            WRITE,
            complete,
        )
        .summary("Complete an inbox item"),
        Route::new(
            Method::POST,
            "/v1/inbox/{id}/dismiss",
            "dismiss_inbox_item",
            WRITE,
            dismiss,
        )
        .summary("Dismiss an inbox item"),
        Route::new(
            Method::POST,
            "/v1/inbox/{id}/reopen",
            "reopen_inbox_item",
            WRITE,
            reopen,
        )
        .summary("Reopen an inbox item"),
    ]
    .map(|route| {
        route
            .if_match()
            .versioned::<Item>(200, "The item as it is now")
            .errors(&[Code::Conflict, Code::InvalidParameter])
    });
    read.into_iter().chain(write).collect()
}

/// What needs a user's attention.
#[derive(Serialize, JsonSchema)]
struct Inbox {
    /// The items to show, at most five.
    visible: Vec<Item>,
    /// The items that follow, at most ten.
    next: Vec<Item>,
    /// How many items are open.
    #[schemars(range(min = 0))]
    waiting: i64,
    /// How many items are deferred.
    #[schemars(range(min = 0))]
    deferred: i64,
    /// When an item can be deferred to at this hour.
    defer_to: Vec<Offer>,
}

/// A time that an item can be deferred to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeferOption")]
struct Offer {
    bucket: Bucket,
    until: DateTime<Utc>,
}

/// Something that needs a user's attention.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InboxItem")]
struct Item {
    id: InboxItemId,
    source: ItemSource,
    title: String,
    /// Why it needs attention.
    rationale: String,
    priority: Priority,
    state: ItemState,
    defer_until: Option<DateTime<Utc>>,
    /// The task that it became.
    task_id: Option<TaskId>,
    /// The message it came from.
    message_id: Option<MessageId>,
    /// The job that added it.
    job_id: Option<JobId>,
    /// Grows with every change.
    #[schemars(range(min = 1))]
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Give exactly one of `bucket` and `until`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["bucket"] }, { "required": ["until"] }]))]
struct Deferral {
    #[serde(default)]
    #[schemars(with = "Bucket")]
    bucket: Option<Bucket>,
    /// RFC 3339, `tomorrow 09:00` or `monday 09:00` in your zone; at most a year ahead.
    #[serde(default)]
    #[schemars(with = "String")]
    until: Option<String>,
}

has_version!(Item);

async fn inbox(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<Inbox>, ApiError> {
    let (tenant, user) = (session.tenant, session.user);
    let mut conn = app.pool.acquire().await?;
    let limit = i64::try_from(VISIBLE + PRELOADED).map_err(ApiError::internal)?;
    let found = inbox_items::waiting(&mut conn, tenant, user, limit).await?;
    let ItemCounts { waiting, deferred } = inbox_items::count(&mut conn, tenant, user).await?;
    let person = users::correspondent(&mut conn, tenant, user).await?;
    let zone = zone(person.as_ref().map_or("UTC", |person| &person.timezone));
    let mut items = found.into_iter().map(Item::from);
    Ok(Json(Inbox {
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
    Id(id): Id<InboxItemId>,
) -> Result<Versioned<Item>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let (tenant, user) = (session.tenant, Some(session.user));
    inbox_items::find(&mut conn, tenant, user, id)
        .await?
        .map(|item| Versioned(item.into()))
        .ok_or_else(ApiError::not_found)
}

async fn defer(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<InboxItemId>,
    seen: IfMatch,
    StrictJson(body): StrictJson<Deferral>,
) -> Result<Versioned<Item>, ApiError> {
    let until = match (body.bucket, body.until.as_deref()) {
        (Some(bucket), None) => Some(Until::Bucket(bucket)),
        (None, Some(text)) => Until::parse(text),
        _ => None,
    };
    let until = until.ok_or_else(|| {
        ApiError::new(
            Code::InvalidBody,
            "Give exactly one of `bucket` and `until`.",
        )
        .at(
            "/until",
            "INVALID_VALUE",
            "Must be a time, without a `bucket` beside it.",
        )
    })?;
    execute(
        &app,
        &session,
        &context,
        id,
        seen,
        ItemCommand::Defer(until),
    )
    .await
}

async fn complete(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<InboxItemId>,
    seen: IfMatch,
) -> Result<Versioned<Item>, ApiError> {
    execute(&app, &session, &context, id, seen, ItemCommand::Complete).await
}

async fn dismiss(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<InboxItemId>,
    seen: IfMatch,
) -> Result<Versioned<Item>, ApiError> {
    execute(&app, &session, &context, id, seen, ItemCommand::Dismiss).await
}

async fn reopen(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<InboxItemId>,
    seen: IfMatch,
) -> Result<Versioned<Item>, ApiError> {
    execute(&app, &session, &context, id, seen, ItemCommand::Reopen).await
}

async fn execute(
    app: &App,
    session: &Session,
    context: &RequestContext,
    id: InboxItemId,
    IfMatch(seen): IfMatch,
    command: ItemCommand,
) -> Result<Versioned<Item>, ApiError> {
    let asking = Caller {
        session,
        request_id: &context.request_id,
    };
    let item = inbox::execute(&app.pool, asking, id, &seen, command, app.clock.now()).await?;
    Ok(Versioned(item.into()))
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
