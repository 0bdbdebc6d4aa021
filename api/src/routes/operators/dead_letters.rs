//! Discarded jobs of all tenants: listed without their arguments, and retried by a filter.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, success},
    extract::{CurrentSession, Paged, PagedList, StrictJson},
    route_table::{Access, Route},
    routes::jobs::{JobKindName, QueueName, RetriedJobs},
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
    domain::{session::Scope, time::Moment},
};
use queue::view::dead_letters::{
    DeadLetterFilter,
    all_tenants::{DeadLetter, list},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/admin/dead-letters",
            "list_all_dead_letters",
            Access::Operators(Scope::OperatorsRead),
            list_dead_letters,
        )
        .summary("List the discarded jobs of all tenants, newest first")
        .paged::<DeadLettersQuery>()
        .answer::<PagedList<DeadLetterBody>>(200, "A page of jobs"),
        Route::new(
            Method::POST,
            "/v1/admin/dead-letters/retry",
            "retry_all_dead_letters",
            Access::Operators(Scope::OperatorsWrite),
            retry_dead_letters,
        )
        .summary("Retry discarded jobs of all tenants, at most 500 per call")
        .body::<DeadLettersQuery>("application/json")
        .answer::<RetriedJobs>(202, "The retried jobs, and how many are left"),
    ]
}

/// Filters of discarded jobs; `{}` stands for all of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AllDeadLettersFilter")]
struct DeadLettersQuery {
    /// Only jobs of this tenant.
    tenant: Option<TenantId>,
    /// Only jobs of this kind; of an unknown one there are none.
    kind: Option<String>,
    /// Only jobs of this queue; of an unknown one there are none.
    queue: Option<String>,
    /// Only jobs that ended with this code.
    error_code: Option<String>,
    /// Only jobs created from this time on.
    created_from: Option<Moment>,
    /// Only jobs created before this time.
    created_before: Option<Moment>,
}

/// A discarded job, without its arguments and output.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
struct DeadLetterBody {
    id: JobId,
    tenant: TenantId,
    #[schemars(with = "JobKindName")]
    kind: String,
    #[schemars(with = "QueueName")]
    queue: String,
    /// Attempts that counted.
    #[schemars(range(min = 0))]
    attempts: i32,
    #[schemars(range(min = 1))]
    max_attempts: i32,
    /// How often its worker crashed while it ran.
    #[schemars(range(min = 0))]
    crashes: i32,
    created_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    error_code: Option<String>,
    request_id: Option<String>,
}

async fn list_dead_letters(
    State(app): State<AppState>,
    Paged { filter, page }: Paged<DeadLettersQuery>,
) -> Result<Json<PagedList<DeadLetterBody>>, ApiError> {
    let (tenant, filter) = filter.into_parts();
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(JobId);
    let found = list(&mut conn, tenant, &filter, before, page.rows()).await?;
    Ok(page.list(found, |job| job.id.0))
}

async fn retry_dead_letters(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<DeadLettersQuery>,
) -> Result<(StatusCode, Json<RetriedJobs>), ApiError> {
    let (tenant, filter) = body.into_parts();
    let which = (tenant, &filter);
    let operator = Operator::User {
        session: &session,
        request_id: &context.request_id,
    };
    let retried =
        retry_dead_letters_of_all_tenants(&app.pool, &app.notifier, operator, which).await?;
    let retried = RetriedJobs {
        jobs: retried.jobs,
        left: retried.left,
    };
    Ok((success::ACCEPTED, Json(retried)))
}

impl DeadLettersQuery {
    fn into_parts(self) -> (Option<TenantId>, DeadLetterFilter) {
        let filter = DeadLetterFilter {
            kind: self.kind,
            queue: self.queue,
            error_code: self.error_code,
            created_from: self.created_from.map(Moment::utc),
            created_before: self.created_before.map(Moment::utc),
            ..DeadLetterFilter::default()
        };
        (self.tenant, filter)
    }
}

impl From<DeadLetter> for DeadLetterBody {
    fn from(job: DeadLetter) -> Self {
        Self {
            id: job.id,
            tenant: job.tenant,
            kind: job.kind,
            queue: job.queue,
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            crashes: job.crashes,
            created_at: job.created_at,
            finished_at: job.finished_at,
            error_code: job.error_code,
            request_id: job.request_id,
        }
    }
}
