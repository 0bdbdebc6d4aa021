//! What was done, told for a person: `GET /v1/history`. Each reads their own lines and those of everybody in the tenant;
//! who may read what everybody did in every detail reads the audit log.

use crate::{
    AppState,
    cursor::Page,
    error::ApiError,
    extract::{CurrentSession, StrictQuery},
    route_table::{Access, Place, Route},
};
use axum::{Json, extract::State, http::Method};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{ResourceKind, history::HistoryVerb, recorded::Recorded, session::Scope},
    store::history::{self, HistoryEntry, HistoryFilter},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::HistoryRead);
    vec![
        Route::new(Method::GET, "/v1/history", "list_history", access, list)
            .summary("What was decided and done, the youngest first")
            .parameter::<String>(
                Place::Query,
                "object_kind",
                false,
                "Only what was done to things of this kind, such as `approval`",
            )
            .parameter::<Uuid>(
                Place::Query,
                "object_id",
                false,
                "Only what was done to this",
            )
            .parameter::<String>(Place::Query, "verb", false, "Only this, such as `approved`")
            .parameter::<DateTime<Utc>>(
                Place::Query,
                "since",
                false,
                "Only what was done at this moment or later",
            )
            .parameter::<u8>(
                Place::Query,
                "limit",
                false,
                "How many lines at most, 1 to 200; 50 if not given",
            )
            .parameter::<String>(
                Place::Query,
                "cursor",
                false,
                "`next_cursor` of the page before, with the same filters",
            )
            .answer::<HistoryPage>(200, "A page of the history"),
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    object_kind: Option<String>,
    object_id: Option<Uuid>,
    verb: Option<String>,
    since: Option<DateTime<Utc>>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct HistoryPage {
    items: Vec<HistoryLine>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// Something that was decided or done.
#[derive(Serialize, JsonSchema)]
struct HistoryLine {
    id: Uuid,
    at: DateTime<Utc>,
    /// What happened, in the past tense.
    verb: Recorded<HistoryVerb>,
    object_kind: Recorded<ResourceKind>,
    object_id: Uuid,
    /// The job that did it, or from which it came.
    job_id: Option<JobId>,
    /// Why, or what it was about.
    rationale: String,
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<HistoryQuery>,
) -> Result<Json<HistoryPage>, ApiError> {
    let filter = HistoryFilter {
        object_kind: query.object_kind,
        object: query.object_id,
        verb: query.verb,
        since: query.since,
    };
    let (tenant, user) = (session.tenant, session.user);
    let cursor = query.cursor.as_deref();
    let page = Page::asked(tenant, "history", &(user, &filter), query.limit, cursor)?;
    let mut conn = app.pool.acquire().await?;
    let found = history::list(&mut conn, tenant, user, &filter, page.after, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |line| line.id);
    let items = found.into_iter().map(HistoryLine::from).collect();
    Ok(Json(HistoryPage { items, next_cursor }))
}

impl From<HistoryEntry> for HistoryLine {
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
