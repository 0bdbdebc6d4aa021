//! What is remembered for the user who asks: `/v1/memory`. The version is the ETag; see [`write`] for what changes it.

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
            .summary("What is remembered for you, the youngest first")
            .parameter::<Level>(Place::Query, "level", false, "Only of this level")
            .parameter::<ScopeKind>(Place::Query, "scope", false, "Only of this kind of scope")
            .parameter::<String>(
                Place::Query,
                "scope_value",
                false,
                "Only for this sender, domain or topic, in lower case",
            )
            .parameter::<bool>(
                Place::Query,
                "pinned",
                false,
                "Only what is pinned, or is not",
            )
            .parameter::<u8>(
                Place::Query,
                "limit",
                false,
                "How many items at most, 1 to 200; 50 if not given",
            )
            .parameter::<String>(
                Place::Query,
                "cursor",
                false,
                "`next_cursor` of the page before, with the same filters",
            )
            .answer::<MemoryPage>(200, "A page of items"),
        Route::new(Method::GET, "/v1/memory/{id}", "get_memory", access, get)
            .summary("One item, also after it has made way for another")
            .answer::<MemoryBody>(200, "The item, its version as ETag"),
    ];
    read.into_iter().chain(write::routes()).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryQuery {
    level: Option<Level>,
    scope: Option<ScopeKind>,
    scope_value: Option<String>,
    pinned: Option<bool>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct MemoryPage {
    items: Vec<MemoryBody>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// Something that is remembered for the user.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MemoryItem")]
struct MemoryBody {
    id: MemoryId,
    level: Level,
    scope: ScopeKind,
    /// The sender, domain or topic for which it holds, in lower case; null for what holds everywhere.
    scope_value: Option<String>,
    key: String,
    value: Value,
    /// Who said so.
    provenance: Provenance,
    /// 0 to 1, in thousandths.
    confidence: f64,
    /// Never evicted.
    pinned: bool,
    status: Status,
    /// Grows with every change, also when another item takes its place under the same key.
    version: i32,
    /// How many prompts it was part of.
    use_count: i64,
    last_used_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

type Versioned = ([(HeaderName, String); 1], Json<MemoryBody>);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<MemoryQuery>,
) -> Result<Json<MemoryPage>, ApiError> {
    let filter = MemoryFilter {
        level: query.level,
        scope: query.scope,
        scope_value: query.scope_value,
        pinned: query.pinned,
    };
    let cursor = query.cursor.as_deref();
    let whose = (session.user, &filter);
    let page = Page::asked(session.tenant, "memory", &whose, query.limit, cursor)?;
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
    let (found, next_cursor) = page.cut(found, |item| item.id.0);
    let items = found.into_iter().map(MemoryBody::from).collect();
    Ok(Json(MemoryPage { items, next_cursor }))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Versioned, ApiError> {
    let id: MemoryId = id.parse().map_err(|_| ApiError::not_found())?;
    let mut conn = app.pool.acquire().await?;
    memory_items::find(&mut conn, session.tenant, session.user, id)
        .await?
        .map(versioned)
        .ok_or_else(ApiError::not_found)
}

fn versioned(item: StoredMemory) -> Versioned {
    let etag = format!("\"{}\"", item.version);
    ([(header::ETAG, etag)], Json(item.into()))
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
