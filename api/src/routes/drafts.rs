//! Generated emails: `/v1/drafts`. The newest version is the ETag; a version is never changed, only followed by another.
//! Approving a draft's approval sends it.

mod change;
pub(crate) mod instructions;
mod versions;

use crate::{
    AppState,
    error::{ApiError, Code},
    etag::{HasVersion, Versioned, has_version},
    extract::{CurrentSession, Id, Paged, PagedList},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        ApprovalId, DraftId, MessageId, UserId,
        draft::{DraftMode, DraftStatus},
        session::Scope,
    },
    store::{
        draft_versions,
        drafts::{
            StoredDraft,
            read::{self, DraftFilter},
        },
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use versions::DraftVersion;

/// 403 for a draft of another user.
pub(in crate::routes) fn not_yours() -> ApiError {
    ApiError::new(
        Code::NotYours,
        "It belongs to another user. They decide it, or let you: PUT /v1/users/me/delegates/{id}.",
    )
}

/// Of the routes that show drafts.
const WHO_READS: &str = "Another user's draft exists for you only if you may decide it, or with the scope `approvals:read_all`.";

pub fn routes() -> Vec<Route> {
    let read = [
        Route::new(
            Method::GET,
            "/v1/drafts",
            "list_drafts",
            Access::Session(Scope::ApprovalsRead),
            list,
        )
        .summary("List the drafts, newest first")
        .description(WHO_READS)
        .paged::<DraftsQuery>()
        .answer::<PagedList<Draft>>(200, "A page of drafts, without their texts"),
        Route::new(
            Method::GET,
            "/v1/drafts/{id}",
            "get_draft",
            Access::Session(Scope::ApprovalsRead),
            get,
        )
        .summary("Get a draft with its newest version")
        .description(WHO_READS)
        .versioned::<DraftDetail>(200, "The draft"),
    ];
    read.into_iter()
        .chain(versions::routes())
        .chain(change::routes())
        .collect()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DraftsQuery {
    /// Only drafts with this status.
    status: Option<DraftStatus>,
    /// Only drafts about this email.
    message_id: Option<MessageId>,
}

/// A generated email.
#[derive(Serialize, JsonSchema)]
struct Draft {
    id: DraftId,
    mode: DraftMode,
    /// The email it is about.
    message_id: Option<MessageId>,
    /// The user it is written for.
    user_id: Option<UserId>,
    status: DraftStatus,
    /// The newest version.
    #[schemars(range(min = 1))]
    version: i32,
    /// The approval of the newest version.
    approval_id: ApprovalId,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A draft with its newest version.
#[derive(Serialize, JsonSchema)]
struct DraftDetail {
    #[serde(flatten)]
    draft: Draft,
    newest: DraftVersion,
}

has_version!(Draft);

impl HasVersion for DraftDetail {
    fn version(&self) -> i32 {
        self.draft.version
    }
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<DraftsQuery>,
) -> Result<Json<PagedList<Draft>>, ApiError> {
    let filter = DraftFilter {
        status: filter.status,
        message: filter.message_id,
    };
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(DraftId);
    let whose = (session.tenant, session.reader());
    let found = read::list(&mut conn, whose, filter, before, page.rows()).await?;
    Ok(page.list(found, |draft| draft.id.0))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<DraftId>,
) -> Result<Versioned<DraftDetail>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let draft = read::find(&mut conn, (session.tenant, session.reader()), id)
        .await?
        .ok_or_else(ApiError::not_found)?;
    let newest = draft_versions::find(&mut conn, session.tenant, id, draft.version)
        .await?
        .ok_or_else(ApiError::not_found)?;
    Ok(Versioned(DraftDetail {
        draft: draft.into(),
        newest: newest.into(),
    }))
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
