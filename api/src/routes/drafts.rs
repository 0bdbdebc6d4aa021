//! Mail that is being written: `/v1/drafts`. The newest version is the ETag; a version is never changed, only followed by
//! another. Sending one is the matter of its approval.

mod change;
mod versions;
pub(crate) mod words;

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
        ApprovalId, DraftId, MessageId, UserId,
        draft::{DraftMode, DraftStatus},
        session::Scope,
    },
    store::{
        draft_versions,
        drafts::{self, DraftFilter, StoredDraft},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use versions::DraftVersion;

pub fn routes() -> Vec<Route> {
    let read = [
        Route::new(
            Method::GET,
            "/v1/drafts",
            "list_drafts",
            Access::Session(Scope::ApprovalsRead),
            list,
        )
        .summary("List the drafts, the youngest first")
        .parameter::<DraftStatus>(Place::Query, "status", false, "Only with this status")
        .parameter::<MessageId>(Place::Query, "message_id", false, "Only about this mail")
        .parameter::<u8>(
            Place::Query,
            "limit",
            false,
            "How many drafts at most, 1 to 200; 50 if not given",
        )
        .parameter::<String>(
            Place::Query,
            "cursor",
            false,
            "`next_cursor` of the page before, with the same filters",
        )
        .answer::<DraftPage>(200, "A page of drafts, without their texts"),
        Route::new(
            Method::GET,
            "/v1/drafts/{id}",
            "get_draft",
            Access::Session(Scope::ApprovalsRead),
            get,
        )
        .summary("One draft with its newest version")
        .answer::<WholeDraft>(200, "The draft, its version as ETag"),
    ];
    read.into_iter()
        .chain(versions::routes())
        .chain(change::routes())
        .collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftsQuery {
    status: Option<DraftStatus>,
    message_id: Option<MessageId>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct DraftPage {
    items: Vec<Draft>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// A mail that is being written.
#[derive(Serialize, JsonSchema)]
struct Draft {
    id: DraftId,
    mode: DraftMode,
    /// The mail it is about.
    message_id: Option<MessageId>,
    /// Whose mail it is.
    user_id: Option<UserId>,
    status: DraftStatus,
    /// The newest.
    version: i32,
    /// What puts the newest version before a person.
    approval_id: ApprovalId,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A draft and what it says now.
#[derive(Serialize, JsonSchema)]
struct WholeDraft {
    #[serde(flatten)]
    draft: Draft,
    newest: DraftVersion,
}

type Versioned = ([(HeaderName, String); 1], Json<WholeDraft>);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<DraftsQuery>,
) -> Result<Json<DraftPage>, ApiError> {
    let filter = DraftFilter {
        status: query.status,
        message: query.message_id,
    };
    let cursor = query.cursor.as_deref();
    let page = Page::asked(session.tenant, "drafts", &filter, query.limit, cursor)?;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(DraftId);
    let found = drafts::list(&mut conn, session.tenant, filter, before, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |draft| draft.id.0);
    let items = found.into_iter().map(Draft::from).collect();
    Ok(Json(DraftPage { items, next_cursor }))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Versioned, ApiError> {
    let id = parse_id(&id)?;
    let mut conn = app.pool.acquire().await?;
    let draft = drafts::find(&mut conn, session.tenant, id)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let newest = draft_versions::find(&mut conn, session.tenant, id, draft.version)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let etag = format!("\"{}\"", draft.version);
    let whole = WholeDraft {
        draft: draft.into(),
        newest: newest.into(),
    };
    Ok(([(header::ETAG, etag)], Json(whole)))
}

fn parse_id(text: &str) -> Result<DraftId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}

impl From<StoredDraft> for Draft {
    fn from(draft: StoredDraft) -> Self {
        Self {
            id: draft.id,
            mode: draft.mode,
            message_id: draft.message,
            user_id: draft.user,
            status: draft.status,
            version: draft.version,
            approval_id: draft.approval,
            created_at: draft.created_at,
            updated_at: draft.updated_at,
        }
    }
}
