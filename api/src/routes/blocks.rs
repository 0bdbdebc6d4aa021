//! The blocks of the user's day: `/v1/blocks`. The version is the ETag; see [`write`] for changes.

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
        blocks::{BlockKind, BlockSource, Status},
        session::Scope,
        time::Moment,
    },
    store::blocks::{self, BlockFilter, StoredBlock},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::BlocksRead);
    let read = [
        Route::new(Method::GET, "/v1/blocks", "list_blocks", access, list)
            .summary("List your blocks, newest first")
            .paged::<BlockQuery>()
            .answer::<PagedList<Block>>(200, "A page of blocks"),
        Route::new(Method::GET, "/v1/blocks/{id}", "get_block", access, get)
            .summary("Get a block")
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
struct BlockQuery {
    /// Only blocks with this status.
    status: Option<Status>,
    /// Only blocks that end after this time.
    from: Option<Moment>,
    /// Only blocks that start before this time.
    until: Option<Moment>,
}

/// A block of a user's day.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Block")]
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
    /// Whether part of it is outside Monday to Friday, 9:00 to 17:00, in the user's zone.
    outside_hours: bool,
    status: Status,
    /// Grows with every change.
    #[schemars(range(min = 1))]
    version: i32,
    /// The calendar event.
    event_ref: Option<String>,
    /// The approval that books it, which shows the progress.
    approval_id: Option<ApprovalId>,
    created_at: DateTime<Utc>,
    decided_at: Option<DateTime<Utc>>,
}

has_version!(Block);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<BlockQuery>,
) -> Result<Json<PagedList<Block>>, ApiError> {
    let filter = BlockFilter {
        status: filter.status,
        from: filter.from.map(Moment::utc),
        until: filter.until.map(Moment::utc),
    };
    let (tenant, user) = (session.tenant, session.user);
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(BlockId);
    let found = blocks::list(&mut conn, tenant, user, filter, before, page.rows()).await?;
    Ok(page.list(found, |block| block.id.0))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<BlockId>,
) -> Result<Versioned<Block>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    blocks::find(&mut conn, session.tenant, session.user, id)
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
