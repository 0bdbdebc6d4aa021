//! Reading the audit log: `GET /v1/audit`. Nothing here, or anywhere, changes it.

use crate::{
    AppState,
    cursor::{Cursor, page_limit},
    error::ApiError,
    extract::{CurrentSession, StrictQuery},
    route_table::{Access, Place, Route},
};
use axum::{Json, extract::State, http::Method};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{AuditAction, AuditEntryId, ResourceKind, recorded::Recorded, session::Scope},
    store::audit::{self, AuditEntry},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/audit",
            "list_audit",
            Access::Session(Scope::AuditRead),
            list,
        )
        .summary("Read the audit log, the oldest entry first")
        .parameter::<String>(
            Place::Query,
            "request_id",
            false,
            "Only what this request caused: in the API, in its jobs and in their attempts.",
        )
        .parameter::<u8>(
            Place::Query,
            "limit",
            false,
            "How many entries at most, 1 to 200; 50 if not given.",
        )
        .parameter::<String>(
            Place::Query,
            "cursor",
            false,
            "`next_cursor` of the page before, with the same `request_id`.",
        )
        .answer::<AuditPage>(200, "A page of the log"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    request_id: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct AuditPage {
    items: Vec<AuditEntryView>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct AuditEntryView {
    id: AuditEntryId,
    at: DateTime<Utc>,
    /// `user`, `worker`, `system` or `cli`.
    actor_kind: String,
    /// Null for somebody who had not shown who they are.
    actor_id: Option<Uuid>,
    session_id: Option<Uuid>,
    action: Recorded<AuditAction>,
    resource_kind: Recorded<ResourceKind>,
    resource_id: String,
    request_id: Option<String>,
    trace_id: Option<String>,
    job_id: Option<Uuid>,
    attempt: Option<i32>,
    /// `ok`, `denied` or `failed`.
    outcome: String,
    /// Nothing was really done: the model or the effect was a stand-in.
    dry_run: bool,
    error_code: Option<String>,
    detail: Value,
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<AuditQuery>,
) -> Result<Json<AuditPage>, ApiError> {
    let tenant = session.tenant;
    let limit = page_limit(query.limit)?;
    let filters: Vec<&str> = std::iter::once("audit")
        .chain(query.request_id.as_deref())
        .collect();
    let after = query
        .cursor
        .map(|text| Cursor::decode(&text, tenant, &filters))
        .transpose()?
        .map(|Cursor(id)| AuditEntryId(id));

    let mut conn = app.pool.acquire().await?;
    // One more than asked for tells whether there is a next page.
    let more = limit + 1;
    let mut entries = match &query.request_id {
        Some(request_id) => {
            audit::by_request_id(&mut conn, tenant, request_id, after, more).await?
        }
        None => audit::list(&mut conn, tenant, after, more).await?,
    };
    let is_last = i64::try_from(entries.len()).is_ok_and(|found| found <= limit);
    if !is_last {
        entries.pop();
    }
    let next_cursor = entries
        .last()
        .filter(|_| !is_last)
        .map(|last| Cursor(last.id.0).encode(tenant, &filters));
    let items = entries.into_iter().map(AuditEntryView::from).collect();
    Ok(Json(AuditPage { items, next_cursor }))
}

impl From<AuditEntry> for AuditEntryView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            actor_kind: entry.actor_kind,
            actor_id: entry.actor_id,
            session_id: entry.session_id,
            action: Recorded::read(entry.action, AuditAction::parse),
            resource_kind: Recorded::read(entry.resource_kind, ResourceKind::parse),
            resource_id: entry.resource_id,
            request_id: entry.request_id,
            trace_id: entry.trace_id,
            job_id: entry.job_id,
            attempt: entry.attempt,
            outcome: entry.outcome,
            dry_run: entry.dry_run,
            error_code: entry.error_code,
            detail: entry.detail,
        }
    }
}
