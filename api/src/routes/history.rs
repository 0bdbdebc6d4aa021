//! What was decided and done, for people: `GET /v1/history`. Users read their own entries and those of the whole tenant;
//! the audit log has every detail for those who may read it.

use crate::{
    AppState,
    error::ApiError,
    extract::{CurrentSession, Paged, PagedList},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        ResourceKind, history::HistoryVerb, recorded::Recorded, session::Scope, time::Moment,
    },
    store::history::{self, HistoryEntry, HistoryFilter},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::HistoryRead);
    vec![
        Route::new(Method::GET, "/v1/history", "list_history", access, list)
            .summary("List what was decided and done, newest first")
            .description("Without that of drafts and approvals that you may not read.")
            .paged::<HistoryQuery>()
            .answer::<PagedList<HistoryItem>>(200, "A page of the history"),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    /// Only entries about this kind of object, such as `approval`.
    object_kind: Option<String>,
    /// Only entries about this object.
    object_id: Option<Uuid>,
    /// Only entries with this verb, such as `approved`.
    verb: Option<String>,
    /// Only entries from this time on.
    since: Option<Moment>,
}

/// One decision or action.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HistoryEntry")]
struct HistoryItem {
    id: Uuid,
    at: DateTime<Utc>,
    /// What happened, in the past tense.
    verb: Recorded<HistoryVerb>,
    object_kind: Recorded<ResourceKind>,
    object_id: Uuid,
    /// The job that did it or led to it.
    job_id: Option<JobId>,
    /// The reason, or what it was about.
    rationale: String,
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<HistoryQuery>,
) -> Result<Json<PagedList<HistoryItem>>, ApiError> {
    let filter = HistoryFilter {
        object_kind: filter.object_kind,
        object: filter.object_id,
        verb: filter.verb,
        since: filter.since.map(Moment::utc),
    };
    let whose = (session.tenant, session.user, session.reader());
    let mut conn = app.pool.acquire().await?;
    let found = history::list(&mut conn, whose, &filter, page.after, page.rows()).await?;
    Ok(page.list(found, |entry| entry.id))
}

impl From<HistoryEntry> for HistoryItem {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            verb: Recorded::read(entry.verb, HistoryVerb::parse),
            object_kind: Recorded::read(entry.object_kind, ResourceKind::parse),
            object_id: entry.object,
            job_id: entry.job,
            rationale: entry.rationale,
        }
    }
}
