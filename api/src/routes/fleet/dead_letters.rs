//! Jobs of any tenant that were given up: seen without what they carry, and put back in line by a filter.

use crate::{
    AppState,
    context::RequestContext,
    cursor::Page,
    error::{ApiError, success},
    extract::{CurrentSession, StrictJson, StrictQuery},
    route_table::{Access, Place, Route},
};
use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode},
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use jobs::{
    commands::{jobs::retry::retry_dead_letters_of_all_tenants, operators::Operator},
    domain::session::Scope,
};
use queue::view::dead_letters::{
    DeadLetterFilter,
    all_tenants::{DeadLetter, list},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) fn routes() -> Vec<Route> {
    let list = Route::new(
        Method::GET,
        "/v1/admin/dead-letters",
        "list_fleet_dead_letters",
        Access::Fleet(Scope::FleetRead),
        list_dead_letters,
    )
    .summary("List the jobs of all tenants that were given up, the youngest first")
    .answer::<DeadLetters>(200, "A page of jobs");
    let retry = Route::new(
        Method::POST,
        "/v1/admin/dead-letters/retry",
        "retry_fleet_dead_letters",
        Access::Fleet(Scope::FleetWrite),
        retry_dead_letters,
    )
    .summary("Put discarded jobs of all tenants back in line, at most 500 a call")
    .body::<WhichDeadLetters>("application/json")
    .answer::<Retried>(202, "What was put back, and how many are left");
    vec![filtered(list), retry]
}

fn filtered(route: Route) -> Route {
    let text =
        |route: Route, name, summary| route.parameter::<String>(Place::Query, name, false, summary);
    let time = |route: Route, name, summary| {
        route.parameter::<DateTime<Utc>>(Place::Query, name, false, summary)
    };
    let route = route.parameter::<TenantId>(Place::Query, "tenant", false, "Only jobs of this one");
    let route = text(route, "kind", "Only jobs of this kind");
    let route = text(route, "queue", "Only jobs of this queue");
    let route = text(route, "error_code", "Only jobs that ended with this code");
    let route = time(
        route,
        "created_from",
        "Only jobs created at this time or later",
    );
    let route = time(
        route,
        "created_before",
        "Only jobs created before this time",
    );
    let route = route.parameter::<u8>(
        Place::Query,
        "limit",
        false,
        "How many jobs at most, 1 to 200; 50 if not given",
    );
    text(
        route,
        "cursor",
        "`next_cursor` of the page before, with the same filters",
    )
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadLettersQuery {
    tenant: Option<TenantId>,
    kind: Option<String>,
    queue: Option<String>,
    error_code: Option<String>,
    created_from: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// Which discarded jobs; `{}` is all, of all tenants.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichDeadLetters {
    tenant: Option<TenantId>,
    kind: Option<String>,
    queue: Option<String>,
    error_code: Option<String>,
    created_from: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
}

#[derive(Serialize, JsonSchema)]
struct DeadLetters {
    items: Vec<DeadLetterBody>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// A job that was given up, without what it carries.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
struct DeadLetterBody {
    id: JobId,
    tenant: TenantId,
    kind: String,
    queue: String,
    /// Attempts that counted.
    attempt: i32,
    max_attempts: i32,
    /// How often its worker died with it.
    crashes: i32,
    created_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    error_code: Option<String>,
    request_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RetriedOfFleet")]
struct Retried {
    /// The jobs that wait again, the oldest first.
    jobs: Vec<JobId>,
    /// Jobs that still fit the filter: call again. Counted up to 10,000.
    left: i64,
}

async fn list_dead_letters(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<DeadLettersQuery>,
) -> Result<Json<DeadLetters>, ApiError> {
    let filter = DeadLetterFilter {
        kind: query.kind,
        queue: query.queue,
        error_code: query.error_code,
        created_from: query.created_from,
        created_before: query.created_before,
        ..DeadLetterFilter::default()
    };
    let bound = (query.tenant, &filter);
    let (name, cursor) = ("fleet-dead-letters", query.cursor.as_deref());
    let page = Page::asked(session.tenant, name, &bound, query.limit, cursor)?;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(JobId);
    let found = list(&mut conn, query.tenant, &filter, before, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |letter| letter.id.0);
    Ok(Json(DeadLetters {
        items: found.into_iter().map(DeadLetterBody::from).collect(),
        next_cursor,
    }))
}

async fn retry_dead_letters(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(asked): StrictJson<WhichDeadLetters>,
) -> Result<(StatusCode, Json<Retried>), ApiError> {
    let filter = DeadLetterFilter {
        kind: asked.kind,
        queue: asked.queue,
        error_code: asked.error_code,
        created_from: asked.created_from,
        created_before: asked.created_before,
        ..DeadLetterFilter::default()
    };
    let which = (asked.tenant, &filter);
    let done = retry_dead_letters_of_all_tenants(
        &app.pool,
        &app.notifier,
        Operator::User {
            session: &session,
            request_id: &context.request_id,
        },
        which,
    )
    .await?;
    let answer = Retried {
        jobs: done.jobs,
        left: done.left,
    };
    Ok((success::ACCEPTED, Json(answer)))
}

impl From<DeadLetter> for DeadLetterBody {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            tenant: letter.tenant,
            kind: letter.kind,
            queue: letter.queue,
            attempt: letter.attempt,
            max_attempts: letter.max_attempts,
            crashes: letter.crashes,
            created_at: letter.created_at,
            finished_at: letter.finished_at,
            error_code: letter.error_code,
            request_id: letter.request_id,
        }
    }
}
