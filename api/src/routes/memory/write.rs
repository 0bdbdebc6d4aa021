//! A user's own hand in their memory: notes, pins, and forgetting. To change what is there, `If-Match` names the version
//! that was seen.

use super::{MemoryBody, Versioned, versioned};
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, IfMatch, StrictJson, if_match},
    route_table::{Access, Place, Route},
};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, header},
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::memory::{Change, MemoryError, StoreOutcome, change_memory, put_note},
    domain::{
        Session,
        memory::{Level, MemoryFault, MemoryScope, NewMemory, Provenance, ScopeKind},
        session::Scope,
    },
    store::memory_items::StoredMemory,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

const JSON: &str = "application/json";

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::MemoryWrite);
    let if_match = |route: Route| {
        route.parameter::<String>(
            Place::Header,
            "If-Match",
            true,
            "The ETag of the item as you have seen it",
        )
    };
    vec![
        Route::new(Method::PUT, "/v1/memory", "put_memory", access, put)
            .summary("Have something remembered, under a key; what is there under it makes way")
            .parameter::<String>(
                Place::Header,
                "If-Match",
                false,
                "The ETag of the item that is to make way; without it, only a new key is taken",
            )
            .body::<Note>(JSON)
            .answer::<MemoryBody>(201, "The item, under a new key")
            .answer::<MemoryBody>(
                200,
                "The item, in the place of another or as it was already",
            ),
        if_match(Route::new(
            Method::POST,
            "/v1/memory/{id}/pin",
            "pin_memory",
            access,
            pin,
        ))
        .summary("Keep an item: it is not evicted and has no end")
        .answer::<MemoryBody>(200, "The item as it is now"),
        if_match(Route::new(
            Method::POST,
            "/v1/memory/{id}/unpin",
            "unpin_memory",
            access,
            unpin,
        ))
        .summary("Let an item go when its time comes")
        .answer::<MemoryBody>(200, "The item as it is now"),
        if_match(Route::new(
            Method::DELETE,
            "/v1/memory/{id}",
            "delete_memory",
            access,
            delete,
        ))
        .summary("Forget an item, its content at once")
        .empty_answer(204, "It is forgotten"),
    ]
}

/// Something to be remembered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MemoryNote")]
struct Note {
    level: Level,
    /// Where it holds: everywhere, if it is left out.
    #[serde(default = "everywhere")]
    scope: ScopeKind,
    /// The sender's address, the domain or the topic.
    #[serde(default)]
    scope_value: Option<String>,
    /// Names it within its level and scope; at most 200 characters.
    #[schemars(length(min = 1, max = 200))]
    key: String,
    /// Any JSON but null, at most 4000 characters.
    value: Value,
    #[serde(default)]
    pinned: bool,
    /// When it is to be forgotten; if it is left out, what is pinned stays, and the rest as long as its level says.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

const fn everywhere() -> ScopeKind {
    ScopeKind::Global
}

impl Note {
    fn parse(self, now: DateTime<Utc>) -> Result<NewMemory, ApiError> {
        let value = self.scope_value.unwrap_or_default();
        let scope = MemoryScope::parse(self.scope, &value).map_err(refusal)?;
        if self.expires_at.is_some_and(|at| at <= now) {
            return Err(refusal(MemoryFault {
                field: "expires_at",
                code: "INVALID_VALUE",
                message: "It must lie in the future.",
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
            expires_at: self.expires_at,
        };
        note.checked().map_err(refusal)
    }
}

fn refusal(fault: MemoryFault) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "This cannot be remembered: correct what is listed in `errors`.",
    )
    .at(format!("/{}", fault.field), fault.code, fault.message)
}

async fn put(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    headers: HeaderMap,
    StrictJson(note): StrictJson<Note>,
) -> Result<(StatusCode, Versioned), ApiError> {
    let seen = headers
        .contains_key(header::IF_MATCH)
        .then(|| IfMatch::from_headers(&headers))
        .transpose()?
        .map(|IfMatch(version)| version);
    let now = app.clock.now();
    let note = note.parse(now)?;
    match put_note(&app.pool, &session, note, seen, &context.request_id, now).await? {
        StoreOutcome::New(item) => Ok((success::CREATED, versioned(item))),
        StoreOutcome::Replaced(item)
        | StoreOutcome::Unchanged(item)
        | StoreOutcome::Outranked(item) => Ok((success::OK, versioned(item))),
    }
}

async fn pin(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    let item = change(&app, &session, &context, (&id, seen), Change::Pin).await?;
    Ok(versioned(item))
}

async fn unpin(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    let item = change(&app, &session, &context, (&id, seen), Change::Unpin).await?;
    Ok(versioned(item))
}

async fn delete(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<StatusCode, ApiError> {
    change(&app, &session, &context, (&id, seen), Change::Delete).await?;
    Ok(success::NO_CONTENT)
}

async fn change(
    app: &App,
    session: &Session,
    context: &RequestContext,
    (id, IfMatch(version)): (&str, IfMatch),
    change: Change,
) -> Result<StoredMemory, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found())?;
    let (request_id, now) = (&context.request_id, app.clock.now());
    Ok(change_memory(&app.pool, session, (id, version), change, request_id, now).await?)
}

impl From<MemoryError> for ApiError {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::NotFound => Self::not_found(),
            MemoryError::Stale => if_match::stale(),
            MemoryError::Unseen => Self::new(
                Code::PreconditionRequired,
                "Something else is remembered under this key. Read it, and send If-Match with its ETag to replace it.",
            ),
            MemoryError::Full { cap } => Self::new(
                Code::Conflict,
                format!("All {cap} items of this level are pinned. Let go of one first."),
            ),
            MemoryError::Database(source) => source.into(),
        }
    }
}
