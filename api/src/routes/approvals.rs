//! Proposed actions that need a person's decision: `/v1/approvals`. The version is the ETag; [`decide`] takes decisions.

mod decide;

use crate::{
    AppState,
    error::ApiError,
    etag::{Versioned, has_version},
    extract::{CurrentSession, Id, Paged, PagedList},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        ApprovalId, MessageId, UserId,
        action::ActionType,
        approval::{Choice, Status},
        risk::Risk,
        session::Scope,
    },
    kinds::triage::rounded,
    store::approvals::{
        StoredApproval,
        read::{self, ApprovalFilter},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Of the routes that show approvals.
const WHO_READS: &str = "That of another user's draft exists for you only if you may decide it, or with the scope `approvals:read_all`.";

pub fn routes() -> Vec<Route> {
    let read = [
        Route::new(
            Method::GET,
            "/v1/approvals",
            "list_approvals",
            Access::Session(Scope::ApprovalsRead),
            list,
        )
        .summary("List the approvals, newest first")
        .description(WHO_READS)
        .paged::<ApprovalsQuery>()
        .answer::<PagedList<Approval>>(200, "A page of approvals"),
        Route::new(
            Method::GET,
            "/v1/approvals/{id}",
            "get_approval",
            Access::Session(Scope::ApprovalsRead),
            get,
        )
        .summary("Get an approval")
        .description(WHO_READS)
        .versioned::<Approval>(200, "The approval"),
    ];
    read.into_iter().chain(decide::routes()).collect()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApprovalsQuery {
    /// Only approvals of this type of action; of an unknown one there are none.
    kind: Option<String>,
    /// Only approvals with this status.
    status: Option<Status>,
}

/// A proposed action and its decision.
#[derive(Serialize, JsonSchema)]
struct Approval {
    id: ApprovalId,
    /// The type of the action.
    #[schemars(with = "ActionType")]
    kind: String,
    title: String,
    summary: String,
    /// The email it is about; null if it is about none.
    message: Option<ApprovalMessage>,
    /// What can be done with it while it is proposed: approve, edit, reject.
    #[schemars(with = "Vec<Choice>")]
    actions: Vec<String>,
    source: String,
    /// What is executed if it is approved.
    payload: Value,
    #[schemars(with = "Risk")]
    risk: String,
    status: Status,
    /// Grows whenever it is proposed again.
    #[schemars(range(min = 1))]
    version: i32,
    rationale: Option<String>,
    /// 0 to 1, in thousandths.
    #[schemars(range(min = 0, max = 1))]
    confidence: f64,
    /// The job that proposed it, or that executes it if no job proposed it.
    job_id: JobId,
    decided_by: Option<UserId>,
    decided_at: Option<DateTime<Utc>>,
    /// The job that executes or undoes it.
    execution_job_id: Option<JobId>,
    executed_at: Option<DateTime<Utc>>,
    /// Why it could not be executed or undone.
    error: Option<ApprovalFailure>,
    expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

/// The email that an approval is about.
#[derive(Serialize, JsonSchema)]
struct ApprovalMessage {
    id: MessageId,
    /// The sender's address; null if the email was not triaged or names no sender.
    from: Option<String>,
    /// The start of the subject, at most 200 characters; null if the email was not triaged.
    subject: Option<String>,
}

/// Why an approval failed.
#[derive(Serialize, JsonSchema)]
struct ApprovalFailure {
    /// Stable and machine-readable.
    code: String,
    message: String,
}

has_version!(Approval);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<ApprovalsQuery>,
) -> Result<Json<PagedList<Approval>>, ApiError> {
    let filter = ApprovalFilter {
        kind: filter.kind,
        status: filter.status,
    };
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(ApprovalId);
    let whose = (session.tenant, session.reader());
    let found = read::list(&mut conn, whose, &filter, before, page.rows()).await?;
    Ok(page.list(found, |approval| approval.id.0))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<ApprovalId>,
) -> Result<Versioned<Approval>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    read::find(&mut conn, (session.tenant, session.reader()), id)
        .await?
        .map(|approval| Versioned(approval.into()))
        .ok_or_else(ApiError::not_found)
}

impl From<StoredApproval> for Approval {
    fn from(approval: StoredApproval) -> Self {
        Self {
            id: approval.id,
            kind: approval.kind,
            title: approval.title,
            summary: approval.summary,
            message: approval.message.map(|id| ApprovalMessage {
                id,
                from: approval.sender,
                subject: approval.subject,
            }),
            actions: approval.choices,
            source: approval.source,
            payload: approval.payload,
            risk: approval.risk.to_string(),
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
