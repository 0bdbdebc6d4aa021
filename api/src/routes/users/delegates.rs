//! Delegates over HTTP: the users who may decide your drafts, `/v1/users/me/delegates`, and, for owners and admins, those who
//! may decide another's, `/v1/users/{id}/delegates`.

use crate::{
    AppState,
    context::RequestContext,
    error::ApiError,
    extract::{CurrentSession, Id, List},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::{Path, State},
    http::Method,
    response::NoContent,
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::users::delegates::{add_delegate, remove_delegate},
    domain::{UserId, session::Scope},
    store::{
        delegations::{self, Delegate},
        users,
    },
};
use schemars::JsonSchema;
use serde::Serialize;

const OWN: &str = "/v1/users/me/delegates/{id}";
const OF_USER: &str = "/v1/users/{id}/delegates/{delegate_id}";

pub(super) fn routes() -> Vec<Route> {
    let decide = Access::Session(Scope::ApprovalsDecide);
    let manage = Access::Session(Scope::UsersManage);
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
        Route::new(Method::PUT, OWN, "add_delegate", decide, add)
            .summary("Add a delegate for your drafts")
            .fresh()
            .empty_answer(204, "The user is your delegate"),
        Route::new(Method::DELETE, OWN, "remove_delegate", decide, remove)
            .summary("Remove a delegate")
            .empty_answer(204, "The user is not your delegate"),
        Route::new(
            Method::GET,
            "/v1/users/{id}/delegates",
            "list_user_delegates",
            manage,
            list_of,
        )
        .summary("List the users who may decide another user's drafts")
        .answer::<List<DelegateView>>(200, "The user's delegates"),
        of_user(Route::new(
            Method::PUT,
            OF_USER,
            "add_user_delegate",
            manage,
            add_of,
        ))
        .summary("Let a user decide another user's drafts")
        .description("The user whose drafts they are finds it in their inbox.")
        .fresh()
        .empty_answer(204, "The user is a delegate"),
        of_user(Route::new(
            Method::DELETE,
            OF_USER,
            "remove_user_delegate",
            manage,
            remove_of,
        ))
        .summary("Remove a delegate of another user")
        .empty_answer(204, "The user is no delegate"),
    ]
}

fn of_user(route: Route) -> Route {
    let delegate = "The user who may decide the drafts of the other.";
    route.path::<UserId>("delegate_id", delegate)
}

/// A user who may decide the drafts of another.
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

async fn list_of(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<UserId>,
) -> Result<Json<List<DelegateView>>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    if users::get(&mut conn, session.tenant, id).await?.is_none() {
        return Err(ApiError::not_found());
    }
    let found = delegations::list(&mut conn, session.tenant, id).await?;
    Ok(List::of(found))
}

async fn add(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<UserId>,
) -> Result<NoContent, ApiError> {
    add_delegate(&app.pool, context.actor(&session), session.user, id).await?;
    Ok(NoContent)
}

async fn remove(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<UserId>,
) -> Result<NoContent, ApiError> {
    remove_delegate(&app.pool, context.actor(&session), session.user, id).await?;
    Ok(NoContent)
}

async fn add_of(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Path(path): Path<(String, String)>,
) -> Result<NoContent, ApiError> {
    let (owner, delegate) = ids(&path)?;
    add_delegate(&app.pool, context.actor(&session), owner, delegate).await?;
    Ok(NoContent)
}

async fn remove_of(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Path(path): Path<(String, String)>,
) -> Result<NoContent, ApiError> {
    let (owner, delegate) = ids(&path)?;
    remove_delegate(&app.pool, context.actor(&session), owner, delegate).await?;
    Ok(NoContent)
}

/// Parses the users of the path: as with [`Id`], text that is no id names nobody.
fn ids((owner, delegate): &(String, String)) -> Result<(UserId, UserId), ApiError> {
    match (owner.parse(), delegate.parse()) {
        (Ok(owner), Ok(delegate)) => Ok((owner, delegate)),
        _ => Err(ApiError::not_found()),
    }
}
