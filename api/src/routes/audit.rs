//! Reading the audit log: `GET /v1/audit`. Nothing here, or anywhere, changes it.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, Paged, PagedList},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use chrono::{DateTime, Utc};
use jobs::{
    commands::audit::record_reading,
    domain::{AuditAction, AuditEntryId, ResourceKind, recorded::Recorded, session::Scope},
    store::audit::{self, AuditEntry, Position},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The longest id that a client can give a request, in characters.
const MAX_REQUEST_ID: usize = 128;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/audit",
            "list_audit",
            Access::Session(Scope::AuditRead),
            list,
        )
        .summary("List the entries of the audit log, oldest first")
        .description(
            "In the order of their commits: a reader who continues with `follow_cursor` reads every entry once. An entry \
             appears when no older transaction is open any more, usually at once. With `request_id` in the order of \
             their ids.",
        )
        .paged::<AuditQuery>()
        .answer::<AuditPage>(200, "A page of entries"),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// Only entries that this request caused: in the API, in its jobs and in their attempts. Our id, or the client's own.
    #[schemars(length(min = 1, max = MAX_REQUEST_ID))]
    request_id: Option<String>,
}

/// A page of the audit log.
#[derive(Serialize, JsonSchema)]
struct AuditPage {
    #[serde(flatten)]
    page: PagedList<AuditEntryView>,
    /// Send it as `cursor`, now or later, to read what comes after this page; null if there is nothing yet.
    follow_cursor: Option<String>,
}

/// One entry of the audit log.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct AuditEntryView {
    id: AuditEntryId,
    at: DateTime<Utc>,
    #[schemars(with = "ActorKind")]
    actor_kind: String,
    /// Null if nobody was authenticated.
    actor_id: Option<Uuid>,
    session_id: Option<Uuid>,
    action: Recorded<AuditAction>,
    resource_kind: Recorded<ResourceKind>,
    resource_id: String,
    request_id: Option<String>,
    /// The id that the client gave that request.
    client_request_id: Option<String>,
    trace_id: Option<String>,
    job_id: Option<Uuid>,
    #[schemars(range(min = 0))]
    attempt: Option<i32>,
    #[schemars(with = "Outcome")]
    outcome: String,
    /// Whether it was a rehearsal: no effect outside Postroom.
    dry_run: bool,
    error_code: Option<String>,
    detail: Value,
}

/// Who acted.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AuditActorKind")]
#[expect(dead_code, reason = "describes what was stored as text")]
enum ActorKind {
    User,
    ApiKey,
    Worker,
    System,
    Cli,
}

/// How it ended.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AuditOutcome")]
#[expect(dead_code, reason = "describes what was stored as text")]
enum Outcome {
    Ok,
    Denied,
    Failed,
}

async fn list(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<AuditQuery>,
) -> Result<Json<AuditPage>, ApiError> {
    let (tenant, rows) = (session.tenant, page.rows());
    if let Some(id) = &filter.request_id
        && !(1..=MAX_REQUEST_ID).contains(&id.chars().count())
    {
        let detail = "Must have 1 to 128 characters.";
        return Err(
            ApiError::new(Code::InvalidParameter, "No request has such an id.").at(
                "?request_id",
                "OUT_OF_RANGE",
                detail,
            ),
        );
    }
    record_reading(&app.pool, &session, &context.request_id).await?;
    let mut conn = app.pool.acquire().await?;
    let (entries, by_id) = match &filter.request_id {
        Some(request_id) => {
            let after = page.after.map(AuditEntryId);
            let found = audit::by_request_id(&mut conn, tenant, request_id, after, rows).await?;
            (found, true)
        }
        None => {
            let after = page.after.map_or(Position::START, Position::from_uuid);
            (audit::list(&mut conn, tenant, after, rows).await?, false)
        }
    };
    let entries = audit::client_ids::pair(&mut conn, tenant, entries).await?;
    let place = |(entry, _): &(AuditEntry, Option<String>)| {
        if by_id {
            entry.id.0
        } else {
            entry.position().to_uuid()
        }
    };
    let shown = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let last = entries.iter().take(shown).next_back().map(place);
    Ok(Json(AuditPage {
        follow_cursor: last.or(page.after).map(|id| page.cursor(id)),
        page: page.list(entries, place).0,
    }))
}

impl From<(AuditEntry, Option<String>)> for AuditEntryView {
    fn from((entry, client_request_id): (AuditEntry, Option<String>)) -> Self {
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
            client_request_id,
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
