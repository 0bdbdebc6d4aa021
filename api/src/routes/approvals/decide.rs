//! A person's word on an approval. Each operation names, with `If-Match`, the version that the person has seen.

use super::{Approval, Versioned, versioned};
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, IfMatch, StrictJson, if_match, json},
    route_table::{Access, Place, Route},
};
use axum::{
    extract::{Path, State},
    http::Method,
};
use jobs::{
    commands::decide_approval::{Ask, DecideError, Decision, decide_approval},
    domain::{Session, session::Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

const JSON: &str = "application/json";

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::ApprovalsDecide);
    let edit = Route::new(
        Method::POST,
        "/v1/approvals/{id}/edit",
        "edit_approval",
        access,
        edit,
    )
    .summary("Change what is proposed, as the next version")
    .body::<Edit>(JSON);
    let skip = Route::new(
        Method::POST,
        "/v1/approvals/{id}/skip",
        "skip_approval",
        access,
        skip,
    )
    .summary("Decide against it");
    let undo = Route::new(
        Method::POST,
        "/v1/approvals/{id}/undo",
        "undo_approval",
        access,
        undo,
    )
    .summary("Take a skip back, as the next version");
    [edit, skip, undo].map(versioned_route).into()
}

/// What all of them take and give.
fn versioned_route(route: Route) -> Route {
    route
        .parameter::<String>(
            Place::Header,
            "If-Match",
            true,
            "The ETag of the approval as you have seen it",
        )
        .answer::<Approval>(200, "The approval as it is now")
}

/// A change of what is proposed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApprovalEdit")]
struct Edit {
    /// Parameters to put over those that are there; a null removes one.
    patch: Map<String, Value>,
}

async fn edit(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
    StrictJson(body): StrictJson<Edit>,
) -> Result<Versioned, ApiError> {
    decide(
        &app,
        &session,
        &context,
        &id,
        seen,
        Decision::Edit(body.patch),
    )
    .await
}

async fn skip(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    decide(&app, &session, &context, &id, seen, Decision::Skip).await
}

async fn undo(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    decide(&app, &session, &context, &id, seen, Decision::Undo).await
}

async fn decide(
    app: &App,
    session: &Session,
    context: &RequestContext,
    id: &str,
    IfMatch(version): IfMatch,
    decision: Decision,
) -> Result<Versioned, ApiError> {
    let ask = Ask {
        approval: id.parse().map_err(|_| ApiError::not_found())?,
        version,
        decision,
    };
    let decided = decide_approval(&app.pool, session, ask, &context.request_id).await?;
    Ok(versioned(decided))
}

impl From<DecideError> for ApiError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::NotFound => Self::not_found(),
            DecideError::Stale { .. } => if_match::stale(),
            DecideError::Lapsed => Self::new(
                Code::Gone,
                "The time to decide is over: the approval has expired.",
            ),
            DecideError::Refused(refused) => Self::new(
                Code::Conflict,
                format!(
                    "The approval is {}; one cannot {} it then.",
                    refused.status,
                    refused.step.verb()
                ),
            ),
            DecideError::NotOffered { what } => Self::new(
                Code::Conflict,
                format!("This approval cannot be {what}. See its `actions`."),
            ),
            DecideError::Faulty(faults) => faults.into_iter().fold(
                Self::new(
                    Code::InvalidBody,
                    "The approval was not changed: correct what is listed in `errors`.",
                ),
                |refusal, fault| {
                    let mut pointer = "/patch".to_owned();
                    json::push(&mut pointer, &fault.field);
                    refusal.at(pointer, fault.code.to_uppercase(), fault.message)
                },
            ),
            DecideError::Database(source) => source.into(),
        }
    }
}
