//! Delegates over HTTP: `/v1/users/me/delegates`, the users who may decide your drafts.

use crate::{
    AppState,
    context::RequestContext,
    error::ApiError,
    extract::{CurrentSession, Id, List},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method, response::NoContent};
use chrono::{DateTime, Utc};
use jobs::{
    commands::users::delegates::{add_delegate, remove_delegate},
    domain::{UserId, session::Scope},
    store::delegations::{self, Delegate},
};
use schemars::JsonSchema;
use serde::Serialize;

const ONE: &str = "/v1/users/me/delegates/{id}";

pub(super) fn routes() -> Vec<Route> {
    let decide = Access::Session(Scope::ApprovalsDecide);
    vec![
        Route::new(
            Method::GET,
            "/v1/users/me/delegates",
            "list_delegates",
            decide,
            list,
        )
        .summary("List the users who may decide your drafts")
        .answer::<List<DelegateView>>(200, "Your delegates"),
        Route::new(Method::PUT, ONE, "add_delegate", decide, add)
            .summary("Add a delegate for your drafts")
            .fresh()
            .empty_answer(204, "The user is your delegate"),
        Route::new(Method::DELETE, ONE, "remove_delegate", decide, remove)
            .summary("Remove a delegate")
            .empty_answer(204, "The user is not your delegate"),
    ]
}

/// A user who may decide your drafts.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delegate")]
struct DelegateView {
    user_id: UserId,
    since: DateTime<Utc>,
}

impl From<Delegate> for DelegateView {
    fn from(delegate: Delegate) -> Self {
        Self {
            user_id: delegate.user,
            since: delegate.since,
        }
    }
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<List<DelegateView>>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let found = delegations::list(&mut conn, session.tenant, session.user).await?;
    Ok(List::of(found))
}

async fn add(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<UserId>,
) -> Result<NoContent, ApiError> {
    if add_delegate(&app.pool, &session, id, &context.request_id).await? {
        Ok(NoContent)
    } else {
        Err(ApiError::not_found())
    }
}

async fn remove(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<UserId>,
) -> Result<NoContent, ApiError> {
    remove_delegate(&app.pool, &session, id, &context.request_id).await?;
    Ok(NoContent)
}
