//! The blocks of the day of the user who asks: `/v1/schedule`. The version is the ETag; see [`write`] for what becomes of
//! a block.

mod book;
mod today;
mod write;

use crate::{
    AppState,
    error::ApiError,
    etag::{Versioned, has_version},
    extract::{CurrentSession, Id, Paged, PagedList},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        ApprovalId, BlockId, InboxItemId,
        schedule::{BlockKind, BlockSource, Status},
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
            .paged::<ScheduleQuery>()
            .answer::<PagedList<Block>>(200, "A page of blocks"),
        Route::new(Method::GET, "/v1/schedule/{id}", "get_block", access, get)
            .summary("One block")
            .versioned::<Block>(200, "The block"),
    ];
    read.into_iter()
        .chain(write::routes())
        .chain(today::routes())
        .chain(book::routes())
        .collect()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScheduleQuery {
    /// Only blocks with this status.
    status: Option<Status>,
    /// Only blocks that end after this time.
    from: Option<DateTime<Utc>>,
    /// Only blocks that start before this time.
    until: Option<DateTime<Utc>>,
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
    #[schemars(range(min = 1))]
    version: i32,
    /// The event in the calendar.
    event_ref: Option<String>,
    /// The approval by which it is put into the calendar: it says how that goes.
    approval_id: Option<ApprovalId>,
    created_at: DateTime<Utc>,
    decided_at: Option<DateTime<Utc>>,
}

has_version!(Block);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<ScheduleQuery>,
) -> Result<Json<PagedList<Block>>, ApiError> {
    let filter = BlockFilter {
        status: filter.status,
        from: filter.from,
        until: filter.until,
    };
    let (tenant, user) = (session.tenant, session.user);
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(BlockId);
    let found = schedule_blocks::list(&mut conn, tenant, user, filter, before, page.rows()).await?;
    Ok(page.list(found, |block| block.id.0))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<BlockId>,
) -> Result<Versioned<Block>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    schedule_blocks::find(&mut conn, session.tenant, session.user, id)
        .await?
        .map(|block| Versioned(block.into()))
        .ok_or_else(ApiError::not_found)
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
