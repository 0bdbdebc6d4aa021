//! The blocks of the day of the user who asks: `/v1/schedule`. The version is the ETag; see [`write`] for what becomes of
//! a block.

mod book;
mod today;
mod write;

use crate::{
    AppState,
    cursor::Page,
    error::ApiError,
    extract::{CurrentSession, StrictQuery},
    route_table::{Access, Place, Route},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderName, Method, header},
};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        ApprovalId, BlockId, InboxItemId,
        blocks::{BlockKind, BlockSource, Status},
        session::Scope,
    },
    store::schedule_blocks::{self, BlockFilter, StoredBlock},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::ScheduleRead);
    let read = [
        Route::new(Method::GET, "/v1/schedule", "list_schedule", access, list)
            .summary("The blocks of your days, the youngest first")
            .parameter::<Status>(Place::Query, "status", false, "Only with this status")
            .parameter::<DateTime<Utc>>(
                Place::Query,
                "from",
                false,
                "Only what ends after this moment",
            )
            .parameter::<DateTime<Utc>>(
                Place::Query,
                "until",
                false,
                "Only what starts before this moment",
            )
            .parameter::<u8>(
                Place::Query,
                "limit",
                false,
                "How many blocks at most, 1 to 200; 50 if not given",
            )
            .parameter::<String>(
                Place::Query,
                "cursor",
                false,
                "`next_cursor` of the page before, with the same filters",
            )
            .answer::<BlockPage>(200, "A page of blocks"),
        Route::new(Method::GET, "/v1/schedule/{id}", "get_block", access, get)
            .summary("One block")
            .answer::<Block>(200, "The block, its version as ETag"),
    ];
    read.into_iter()
        .chain(write::routes())
        .chain(today::routes())
        .chain(book::routes())
        .collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleQuery {
    status: Option<Status>,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct BlockPage {
    items: Vec<Block>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// Some time of a user's day.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ScheduleBlock")]
struct Block {
    id: BlockId,
    title: String,
    kind: BlockKind,
    source: BlockSource,
    inbox_item_id: Option<InboxItemId>,
    /// The set of alternative plans it belongs to, and the plan's name.
    alternatives_id: Option<Uuid>,
    plan: Option<String>,
    start_at: DateTime<Utc>,
    end_at: DateTime<Utc>,
    /// Some of it lies outside Monday to Friday, nine to five, in the user's zone.
    outside_hours: bool,
    status: Status,
    /// Grows with every change.
    version: i32,
    /// The event in the calendar.
    event_ref: Option<String>,
    /// The approval by which it is put into the calendar: it says how that goes.
    approval_id: Option<ApprovalId>,
    created_at: DateTime<Utc>,
    decided_at: Option<DateTime<Utc>>,
}

type Versioned = ([(HeaderName, String); 1], Json<Block>);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<ScheduleQuery>,
) -> Result<Json<BlockPage>, ApiError> {
    let filter = BlockFilter {
        status: query.status,
        from: query.from,
        until: query.until,
    };
    let (tenant, user) = (session.tenant, session.user);
    let cursor = query.cursor.as_deref();
    let page = Page::asked(tenant, "schedule", &(user, filter), query.limit, cursor)?;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(BlockId);
    let found = schedule_blocks::list(&mut conn, tenant, user, filter, before, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |block| block.id.0);
    let items = found.into_iter().map(Block::from).collect();
    Ok(Json(BlockPage { items, next_cursor }))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Versioned, ApiError> {
    let id: BlockId = id.parse().map_err(|_| ApiError::not_found())?;
    let mut conn = app.pool.acquire().await?;
    schedule_blocks::find(&mut conn, session.tenant, session.user, id)
        .await?
        .map(versioned)
        .ok_or_else(ApiError::not_found)
}

fn versioned(block: StoredBlock) -> Versioned {
    let etag = format!("\"{}\"", block.version);
    ([(header::ETAG, etag)], Json(block.into()))
}

impl From<StoredBlock> for Block {
    fn from(block: StoredBlock) -> Self {
        Self {
            id: block.id,
            title: block.title,
            kind: block.kind,
            source: block.source,
            inbox_item_id: block.inbox_item,
            alternatives_id: block.alternatives,
            plan: block.plan,
            start_at: block.start_at,
            end_at: block.end_at,
            outside_hours: block.outside_hours,
            status: block.status,
            version: block.version,
            event_ref: block.event_ref,
            approval_id: block.approval,
            created_at: block.created_at,
            decided_at: block.decided_at,
        }
    }
}
