//! The memory of a user: `/v1/memory`. The version is the ETag; [`write`] changes items.

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
        MemoryId,
        memory::{Level, Provenance, ScopeKind, Status},
        session::Scope,
    },
    kinds::triage::rounded,
    store::memory_items::{self, MemoryFilter, StoredMemory},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::MemoryRead);
    let read = [
        Route::new(Method::GET, "/v1/memory", "list_memory", access, list)
            .summary("List your memory items, newest first")
            .paged::<MemoryQuery>()
            .answer::<PagedList<MemoryBody>>(200, "A page of items"),
        Route::new(Method::GET, "/v1/memory/{id}", "get_memory", access, get)
            .summary("Get a memory item, also after it was replaced")
            .versioned::<MemoryBody>(200, "The item"),
    ];
    read.into_iter().chain(write::routes()).collect()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MemoryQuery {
    /// Only items of this level.
    level: Option<Level>,
    /// Only items of this scope.
    scope: Option<ScopeKind>,
    /// Only items of this sender, domain or topic, in lower case.
    scope_value: Option<String>,
    /// Only items that are, or are not, pinned.
    pinned: Option<bool>,
}

/// One thing that the assistant remembers about the user.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MemoryItem")]
struct MemoryBody {
    id: MemoryId,
    level: Level,
    scope: ScopeKind,
    /// The sender, domain or topic it applies to, in lower case; null if it applies everywhere.
    scope_value: Option<String>,
    key: String,
    value: Value,
    /// Who it came from.
    provenance: Provenance,
    /// 0 to 1, in thousandths.
    #[schemars(range(min = 0, max = 1))]
    confidence: f64,
    /// Never evicted.
    pinned: bool,
    status: Status,
    /// Grows with every change, also when another item replaces it.
    #[schemars(range(min = 1))]
    version: i32,
    /// How many prompts it was part of.
    #[schemars(range(min = 0))]
    use_count: i64,
    last_used_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

has_version!(MemoryBody);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<MemoryQuery>,
) -> Result<Json<PagedList<MemoryBody>>, ApiError> {
    let filter = MemoryFilter {
        level: filter.level,
        scope: filter.scope,
        scope_value: filter.scope_value,
        pinned: filter.pinned,
    };
    let mut conn = app.pool.acquire().await?;
    let found = memory_items::list(
        &mut conn,
        session.tenant,
        session.user,
        &filter,
        page.after.map(MemoryId),
        page.rows(),
    )
    .await?;
    Ok(page.list(found, |item| item.id.0))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<MemoryId>,
) -> Result<Versioned<MemoryBody>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    memory_items::find(&mut conn, session.tenant, session.user, id)
        .await?
        .map(|item| Versioned(item.into()))
        .ok_or_else(ApiError::not_found)
}

impl From<StoredMemory> for MemoryBody {
    fn from(item: StoredMemory) -> Self {
        Self {
            id: item.id,
            level: item.level,
            scope: item.scope,
            scope_value: Some(item.scope_value).filter(|value| !value.is_empty()),
            key: item.key,
            value: item.value,
            provenance: item.provenance,
            confidence: rounded(item.confidence),
            pinned: item.pinned,
            status: item.status,
            version: item.version,
            use_count: item.use_count,
            last_used_at: item.last_used_at,
            expires_at: item.expires_at,
            created_at: item.created_at,
        }
    }
}
