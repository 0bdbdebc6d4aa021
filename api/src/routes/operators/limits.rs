//! Limits on how many jobs of a queue, a kind or a tenant run at once, on all workers together.

use super::known_queue;
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, List, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{Method, StatusCode},
};
use base::TenantId;
use jobs::{
    commands::operators::{Operator, remove_limit, set_limit},
    domain::session,
    kinds,
    store::tenants,
};
use queue::operate::limits::{self, Limit, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const ONE: &str = "/v1/admin/limits/{scope}/{name}";
const NAME: &str =
    "A queue, a kind, a tenant's id, or `*` for each tenant without a limit of its own.";
/// For each tenant without a limit of its own.
const EACH: &str = "*";

pub(super) fn routes() -> Vec<Route> {
    let read = Access::Operators(session::Scope::OperatorsRead);
    let write = Access::Operators(session::Scope::OperatorsWrite);
    vec![
        Route::new(
            Method::GET,
            "/v1/admin/limits",
            "list_limits",
            read,
            list_limits,
        )
        .summary("List the limits on running jobs")
        .answer::<List<LimitBody>>(200, "All limits"),
        of_one(Route::new(Method::GET, ONE, "get_limit", read, get_limit))
            .summary("Get the limit of a queue, a kind or a tenant")
            .answer::<LimitBody>(200, "The limit"),
        of_one(Route::new(Method::PUT, ONE, "put_limit", write, put_limit))
            .summary("Limit how many jobs of a queue, a kind or a tenant run at once")
            .body::<NewLimit>("application/json")
            .answer::<LimitBody>(200, "The limit; jobs that already run are not stopped"),
        of_one(Route::new(
            Method::DELETE,
            ONE,
            "delete_limit",
            write,
            delete_limit,
        ))
        .summary("Delete a limit")
        .empty_answer(204, "The limit is deleted"),
    ]
}

fn of_one(route: Route) -> Route {
    route
        .path::<Scope>("scope", "What is limited.")
        .path::<String>("name", NAME)
}

/// A limit on running jobs.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Limit")]
struct LimitBody {
    scope: Scope,
    /// A queue, a kind, a tenant's id, or `*` for each tenant without a limit of its own.
    name: String,
    /// 0 for a paused tenant.
    #[schemars(range(min = 0, max = 100_000))]
    max_running: i32,
}

/// A new limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewLimit {
    #[schemars(range(min = 1, max = 100_000))]
    max_running: i32,
}

async fn list_limits(State(app): State<AppState>) -> Result<Json<List<LimitBody>>, ApiError> {
    let all = limits::list(&mut *app.pool.acquire().await?).await?;
    Ok(List::of(all))
}

async fn get_limit(
    State(app): State<AppState>,
    Path((scope, name)): Path<(String, String)>,
) -> Result<Json<LimitBody>, ApiError> {
    let scope = Scope::parse(&scope).ok_or_else(ApiError::not_found)?;
    let all = limits::list(&mut *app.pool.acquire().await?).await?;
    all.into_iter()
        .find(|limit| limit.scope == scope && limit.name == name)
        .map(|limit| Json(limit.into()))
        .ok_or_else(ApiError::not_found)
}

async fn put_limit(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path((scope, name)): Path<(String, String)>,
    StrictJson(body): StrictJson<NewLimit>,
) -> Result<Json<LimitBody>, ApiError> {
    let (scope, name) = known(&app, &scope, &name).await?;
    if !limits::RANGE.contains(&body.max_running) {
        return Err(ApiError::new(
            Code::InvalidBody,
            "Use a limit of 1 to 100,000 running jobs.",
        )
        .at("/max_running", "OUT_OF_RANGE", "Must be from 1 to 100,000."));
    }
    let limit = Limit {
        scope,
        name,
        max_running: body.max_running,
    };
    let operator = Operator::User {
        session: &session,
        request_id: &context.request_id,
    };
    set_limit(&app.pool, &app.notifier, operator, &limit).await?;
    Ok(Json(limit.into()))
}

/// Also deletes the limit of a name that no longer exists.
async fn delete_limit(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path((scope, name)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let scope = Scope::parse(&scope).ok_or_else(ApiError::not_found)?;
    if name.contains('\0') {
        // Postgres cannot store such text, so no limit has this name.
        return Err(ApiError::not_found());
    }
    let operator = Operator::User {
        session: &session,
        request_id: &context.request_id,
    };
    let removed = remove_limit(&app.pool, &app.notifier, operator, (scope, &name)).await?;
    if removed {
        Ok(success::NO_CONTENT)
    } else {
        Err(ApiError::not_found())
    }
}

/// Resolves what is limited to the one name that claims use.
async fn known(app: &App, scope: &str, name: &str) -> Result<(Scope, String), ApiError> {
    let scope = Scope::parse(scope).ok_or_else(ApiError::not_found)?;
    let name = match scope {
        Scope::Queue => known_queue(name)?.to_owned(),
        Scope::Kind => kinds::names()
            .into_iter()
            .find(|kind| *kind == name)
            .ok_or_else(ApiError::not_found)?
            .to_owned(),
        Scope::Tenant if name == EACH => EACH.to_owned(),
        Scope::Tenant => {
            let tenant: TenantId = name.parse().map_err(|_| ApiError::not_found())?;
            tenants::open_slug(&mut *app.pool.acquire().await?, tenant)
                .await?
                .ok_or_else(ApiError::not_found)?;
            tenant.to_string()
        }
    };
    Ok((scope, name))
}

impl From<Limit> for LimitBody {
    fn from(limit: Limit) -> Self {
        Self {
            scope: limit.scope,
            name: limit.name,
            max_running: limit.max_running,
        }
    }
}
