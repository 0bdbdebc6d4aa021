//! Storing, pinning and deleting memory items. To change one, `If-Match` names the version that was read.

use super::MemoryBody;
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    etag::Versioned,
    extract::{CurrentSession, Id, IfMatch, StrictJson, if_match},
    route_table::{Access, Route},
};
use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::memory::{Change, MemoryError, StoreOutcome, change_memory, put_note},
    domain::{
        MemoryId, Session,
        memory::{Level, MemoryFault, MemoryScope, NewMemory, Provenance, ScopeKind},
        session::Scope,
        time::Moment,
    },
    store::memory_items::StoredMemory,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

const JSON: &str = "application/json";

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::MemoryWrite);
    vec![
        Route::new(Method::PUT, "/v1/memory", "put_memory", access, put)
            .summary("Store a memory under a key, replacing the current one")
            .if_match_to_replace()
            .body::<Note>(JSON)
            .versioned::<MemoryBody>(201, "The item, under a new key")
            .versioned::<MemoryBody>(200, "The item, replaced or unchanged")
            .errors(&[Code::Conflict]),
        Route::new(
            Method::POST,
            "/v1/memory/{id}/pin",
            "pin_memory",
            access,
            pin,
        )
        .summary("Pin a memory, so that it is neither evicted nor expires")
        .if_match()
        .versioned::<MemoryBody>(200, "The item as it is now")
        .errors(&[Code::Conflict]),
        Route::new(
            Method::POST,
            "/v1/memory/{id}/unpin",
            "unpin_memory",
            access,
            unpin,
        )
        .summary("Unpin a memory")
        .if_match()
        .versioned::<MemoryBody>(200, "The item as it is now")
        .errors(&[Code::Conflict]),
        Route::new(
            Method::DELETE,
            "/v1/memory/{id}",
            "delete_memory",
            access,
            delete,
        )
        .summary("Delete a memory and erase its content immediately")
        .if_match()
        .empty_answer(204, "The item is deleted"),
    ]
}

/// A memory to store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MemoryNote")]
struct Note {
    level: Level,
    /// What it applies to; `global` by default.
    #[serde(default = "everywhere")]
    scope: ScopeKind,
    /// The sender's address, the domain or the topic; not with `global`.
    #[serde(default)]
    scope_value: Option<String>,
    /// Its name within its level and scope.
    #[schemars(length(min = 1, max = 200))]
    key: String,
    /// Any JSON but null, at most 4,000 characters.
    #[schemars(extend("not" = { "type": "null" }))]
    value: Value,
    #[serde(default)]
    pinned: bool,
    /// When it expires; by default a pinned item never does, and another after the time of its level.
    #[serde(default)]
    expires_at: Option<Moment>,
}

const fn everywhere() -> ScopeKind {
    ScopeKind::Global
}

impl Note {
    fn parse(self, now: DateTime<Utc>) -> Result<NewMemory, ApiError> {
        let value = self.scope_value.unwrap_or_default();
        let scope = MemoryScope::parse(self.scope, &value).map_err(refusal)?;
        if self.expires_at.is_some_and(|at| at.utc() <= now) {
            return Err(refusal(MemoryFault {
                field: "expires_at",
                code: "INVALID_VALUE",
                message: "Must be in the future.",
            }));
        }
        let note = NewMemory {
            level: self.level,
            scope,
            key: self.key,
            value: self.value,
            provenance: Provenance::User,
            confidence: 1.0,
            pinned: self.pinned,
            expires_at: self.expires_at.map(Moment::utc),
        };
        note.checked().map_err(refusal)
    }
}

fn refusal(fault: MemoryFault) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "Nothing was stored. Correct the fields that `errors` lists.",
    )
    .at(format!("/{}", fault.field), fault.code, fault.message)
}

async fn put(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    headers: HeaderMap,
    StrictJson(note): StrictJson<Note>,
) -> Result<(StatusCode, Versioned<MemoryBody>), ApiError> {
    let seen = headers
        .contains_key(header::IF_MATCH)
        .then(|| IfMatch::from_headers(&headers))
        .transpose()?
        .map(|IfMatch(seen)| seen);
    let now = app.clock.now();
    let note = note.parse(now)?;
    match put_note(&app.pool, &session, note, seen, &context.request_id, now).await? {
        StoreOutcome::New(item) => Ok((success::CREATED, Versioned(item.into()))),
        StoreOutcome::Replaced(item)
        | StoreOutcome::Unchanged(item)
        | StoreOutcome::Outranked(item) => Ok((success::OK, Versioned(item.into()))),
    }
}

async fn pin(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<MemoryId>,
    version: IfMatch,
) -> Result<Versioned<MemoryBody>, ApiError> {
    let item = change(&app, &session, &context, (id, version), Change::Pin).await?;
    Ok(Versioned(item.into()))
}

async fn unpin(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<MemoryId>,
    version: IfMatch,
) -> Result<Versioned<MemoryBody>, ApiError> {
    let item = change(&app, &session, &context, (id, version), Change::Unpin).await?;
    Ok(Versioned(item.into()))
}

async fn delete(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<MemoryId>,
    version: IfMatch,
) -> Result<StatusCode, ApiError> {
    change(&app, &session, &context, (id, version), Change::Delete).await?;
    Ok(success::NO_CONTENT)
}

async fn change(
    app: &App,
    session: &Session,
    context: &RequestContext,
    (id, IfMatch(seen)): (MemoryId, IfMatch),
    change: Change,
) -> Result<StoredMemory, ApiError> {
    let (request_id, now) = (&context.request_id, app.clock.now());
    Ok(change_memory(&app.pool, session, (id, &seen), change, request_id, now).await?)
}

impl From<MemoryError> for ApiError {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::NotFound => Self::not_found(),
            MemoryError::Stale => if_match::stale(),
            MemoryError::Unseen => Self::new(
                Code::PreconditionRequired,
                "Another memory is stored under this key. Read it and send If-Match with its ETag to replace it.",
            ),
            MemoryError::Full { cap } => Self::new(
                Code::Conflict,
                format!("All {cap} items of this level are pinned. Unpin or delete one first."),
            ),
            MemoryError::Database(source) => source.into(),
        }
    }
}
