//! What waits for a person, or was decided by one: `/v1/approvals`. The version is the ETag; see [`decide`] for what can
//! be done with it.

mod decide;

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
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{ApprovalId, UserId, approval::Status, session::Scope},
    kinds::triage::rounded,
    store::approvals::{self, ApprovalFilter, StoredApproval},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub fn routes() -> Vec<Route> {
    let read = [
        Route::new(
            Method::GET,
            "/v1/approvals",
            "list_approvals",
            Access::Session(Scope::ApprovalsRead),
            list,
        )
        .summary("List the approvals, the youngest first")
        .parameter::<String>(Place::Query, "kind", false, "Only for this type of action")
        .parameter::<Status>(Place::Query, "status", false, "Only with this status")
        .parameter::<u8>(
            Place::Query,
            "limit",
            false,
            "How many approvals at most, 1 to 200; 50 if not given",
        )
        .parameter::<String>(
            Place::Query,
            "cursor",
            false,
            "`next_cursor` of the page before, with the same filters",
        )
        .answer::<ApprovalPage>(200, "A page of approvals"),
        Route::new(
            Method::GET,
            "/v1/approvals/{id}",
            "get_approval",
            Access::Session(Scope::ApprovalsRead),
            get,
        )
        .summary("One approval")
        .answer::<Approval>(200, "The approval, its version as ETag"),
    ];
    read.into_iter().chain(decide::routes()).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalsQuery {
    kind: Option<String>,
    status: Option<Status>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ApprovalPage {
    items: Vec<Approval>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// A proposed action before a person.
#[derive(Serialize, JsonSchema)]
struct Approval {
    id: ApprovalId,
    /// The type of the action.
    kind: String,
    title: String,
    summary: String,
    /// What can be done with it while it is proposed: approve, edit, skip.
    actions: Vec<String>,
    source: String,
    /// What is executed if it is approved.
    payload: Value,
    /// low | medium | high | critical
    risk: String,
    status: Status,
    /// Grows whenever it is put before a person anew.
    version: i32,
    rationale: Option<String>,
    /// 0 to 1, in thousandths.
    confidence: f64,
    /// The job that proposed it; of what a person did not have proposed, the one that carries it out.
    job_id: JobId,
    decided_by: Option<UserId>,
    decided_at: Option<DateTime<Utc>>,
    /// The job that carries it out, or takes it back.
    execution_job_id: Option<JobId>,
    executed_at: Option<DateTime<Utc>>,
    /// Why it could not be carried out, or taken back.
    error: Option<ApprovalFailure>,
    expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

/// Why an approval failed, for its owner.
#[derive(Serialize, JsonSchema)]
struct ApprovalFailure {
    /// Stable and machine-readable.
    code: String,
    message: String,
}

type Versioned = ([(HeaderName, String); 1], Json<Approval>);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<ApprovalsQuery>,
) -> Result<Json<ApprovalPage>, ApiError> {
    let filter = ApprovalFilter {
        kind: query.kind,
        status: query.status,
    };
    let cursor = query.cursor.as_deref();
    let page = Page::asked(session.tenant, "approvals", &filter, query.limit, cursor)?;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(ApprovalId);
    let found = approvals::list(&mut conn, session.tenant, &filter, before, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |approval| approval.id.0);
    let items = found.into_iter().map(Approval::from).collect();
    Ok(Json(ApprovalPage { items, next_cursor }))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Versioned, ApiError> {
    let id: ApprovalId = id.parse().map_err(|_| ApiError::not_found())?;
    let mut conn = app.pool.acquire().await?;
    approvals::find(&mut conn, session.tenant, id)
        .await?
        .map(versioned)
        .ok_or_else(ApiError::not_found)
}

fn versioned(approval: StoredApproval) -> Versioned {
    let etag = format!("\"{}\"", approval.version);
    ([(header::ETAG, etag)], Json(approval.into()))
}

impl From<StoredApproval> for Approval {
    fn from(approval: StoredApproval) -> Self {
        Self {
            id: approval.id,
            kind: approval.kind,
            title: approval.title,
            summary: approval.summary,
            actions: approval.choices,
            source: approval.source,
            payload: approval.payload,
            risk: approval.risk,
            status: approval.status,
            version: approval.version,
            rationale: approval.rationale,
            confidence: rounded(approval.confidence),
            job_id: approval.job,
            decided_by: approval.decided_by,
            decided_at: approval.decided_at,
            execution_job_id: approval.execution_job,
            executed_at: approval.executed_at,
            error: approval.failure_code.map(|code| ApprovalFailure {
                code,
                message: approval.failure_message.unwrap_or_default(),
            }),
            expires_at: approval.expires_at,
            created_at: approval.created_at,
        }
    }
}
