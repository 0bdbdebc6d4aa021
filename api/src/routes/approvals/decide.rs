//! Decisions on an approval. Each operation names the version that the person has read, as `If-Match`.

use super::Approval;
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code},
    etag::Versioned,
    extract::{CurrentSession, Id, IfMatch, StrictJson, body, if_match, json},
    route_table::{Access, Route},
    routes::drafts::{instructions::instructions, not_yours},
};
use axum::{
    extract::{Request, State},
    http::Method,
};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    commands::approvals::decide::{
        DecideError, Decision, DecisionKind, DecisionRequest, RequestMeta, decide_approval,
    },
    domain::{ApprovalId, Session, session::Scope},
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
    .summary("Edit a proposed action, as the next version")
    .body::<Edit>(JSON);
    let reject = Route::new(
        Method::POST,
        "/v1/approvals/{id}/reject",
        "reject_approval",
        access,
        reject,
    )
    .summary("Reject an approval");
    let undo = Route::new(
        Method::POST,
        "/v1/approvals/{id}/undo",
        "undo_approval",
        access,
        undo,
    )
    .summary("Undo a rejection, as the next version, or an execution");
    let approve = Route::new(
        Method::POST,
        "/v1/approvals/{id}/approve",
        "approve_approval",
        access,
        approve,
    )
    .summary("Approve a proposed action, which a job then executes")
    .optional_body::<Approve>()
    .errors(&[Code::OwnRequest]);
    let revoke = Route::new(
        Method::POST,
        "/v1/approvals/{id}/revoke",
        "revoke_approval",
        access,
        revoke,
    )
    .summary("Revoke an approval before a worker has started, as the next version");
    [approve, edit, reject, undo, revoke]
        .map(versioned_route)
        .into()
}

/// Declares what all decisions take and return.
fn versioned_route(route: Route) -> Route {
    route
        .if_match()
        .versioned::<Approval>(200, "The approval as it is now")
        .errors(&[
            Code::Conflict,
            Code::Gone,
            Code::InvalidBody,
            Code::NotYours,
        ])
}

/// An approval. The body may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApprovalApprove")]
struct Approve {
    /// How long an email is held before it is sent; until then the approval can be revoked. 10 by default.
    #[serde(default)]
    #[schemars(range(min = 0, max = 60))]
    hold_seconds: Option<i64>,
}

const HOLD_SECONDS: i64 = 10;
const MAX_HOLD_SECONDS: i64 = 60;

/// A change of a proposed action: `patch`, or `instructions` for a draft.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "ApprovalEdit",
    extend("oneOf" = [{ "required": ["patch"] }, { "required": ["instructions"] }])
)]
struct Edit {
    /// Parameters that replace the current ones; null removes one. Not for drafts.
    #[serde(default)]
    #[schemars(with = "Map<String, Value>")]
    patch: Option<Map<String, Value>>,
    /// Only for a draft: what to change. A job writes the next version; until then the approval is `editing`.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = 2000))]
    instructions: Option<String>,
}

async fn edit(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ApprovalId>,
    seen: IfMatch,
    StrictJson(body): StrictJson<Edit>,
) -> Result<Versioned<Approval>, ApiError> {
    let decision = match (body.patch, body.instructions) {
        (Some(patch), None) => Decision::Edit(patch),
        (None, Some(said)) => Decision::Revise(instructions(&said)?),
        _ => {
            return Err(ApiError::new(
                Code::InvalidBody,
                "Send exactly one of `patch` and `instructions`.",
            )
            .at(
                "",
                "INVALID_VALUE",
                "Must have exactly one of the two fields.",
            ));
        }
    };
    decide(&app, &session, &context, id, seen, decision).await
}

async fn approve(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ApprovalId>,
    seen: IfMatch,
    request: Request,
) -> Result<Versioned<Approval>, ApiError> {
    let bytes = body::read(&app, request).await?;
    let body: Approve = if bytes.is_empty() {
        Approve::default()
    } else {
        json::into_type(json::parse(&bytes)?)?
    };
    let hold = body.hold_seconds.unwrap_or(HOLD_SECONDS);
    if !(0..=MAX_HOLD_SECONDS).contains(&hold) {
        return Err(
            ApiError::new(Code::InvalidBody, "Use hold_seconds from 0 to 60.").at(
                "/hold_seconds",
                "INVALID_VALUE",
                "Must be from 0 to 60.",
            ),
        );
    }
    let decision = Decision::Approve {
        hold: TimeDelta::seconds(hold),
    };
    decide(&app, &session, &context, id, seen, decision).await
}

async fn revoke(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ApprovalId>,
    seen: IfMatch,
) -> Result<Versioned<Approval>, ApiError> {
    decide(&app, &session, &context, id, seen, Decision::Revoke).await
}

async fn reject(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ApprovalId>,
    seen: IfMatch,
) -> Result<Versioned<Approval>, ApiError> {
    decide(&app, &session, &context, id, seen, Decision::Reject).await
}

async fn undo(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ApprovalId>,
    seen: IfMatch,
) -> Result<Versioned<Approval>, ApiError> {
    decide(&app, &session, &context, id, seen, Decision::Undo).await
}

async fn decide(
    app: &App,
    session: &Session,
    context: &RequestContext,
    id: ApprovalId,
    IfMatch(seen): IfMatch,
    decision: Decision,
) -> Result<Versioned<Approval>, ApiError> {
    let ask = DecisionRequest {
        approval: id,
        seen,
        decision,
    };
    let asking = RequestMeta {
        request_id: &context.request_id,
        traceparent: &context.traceparent,
        at: app.clock.now(),
    };
    let (made, now) = (ask.decision.made(), asking.at);
    let decided = decide_approval(&app.pool, &app.notifier, session, ask, asking).await?;
    count(app, made, decided.created_at, now);
    Ok(Versioned(decided.into()))
}

fn count(app: &App, made: DecisionKind, proposed: DateTime<Utc>, now: DateTime<Utc>) {
    let metrics = &app.metrics;
    metrics
        .approvals_total
        .with_label_values(&[made.as_str()])
        .inc();
    if matches!(made, DecisionKind::Approved | DecisionKind::Rejected) {
        let took = (now - proposed).to_std().unwrap_or_default();
        metrics.approval_latency_seconds.observe(took.as_secs_f64());
    }
}

impl From<DecideError> for ApiError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::NotFound => Self::not_found(),
            DecideError::Stale { .. } => if_match::stale(),
            DecideError::NotYours => not_yours(),
            DecideError::OwnRequest => Self::new(
                Code::OwnRequest,
                "Your tenant wants another person than the one who asked for an action, or last edited it, to approve it.",
            ),
            DecideError::Expired => Self::new(
                Code::Gone,
                "The approval has expired. It can no longer be decided.",
            ),
            DecideError::Refused(refused) => Self::new(
                Code::Conflict,
                format!(
                    "The approval is {}, so you cannot {} it.",
                    refused.status,
                    refused.step.verb()
                ),
            ),
            DecideError::Draft(refused) => Self::new(
                Code::Conflict,
                format!(
                    "The draft is {}, so you cannot {} it.",
                    refused.status, refused.step
                ),
            ),
            DecideError::Foreseen(why) => Self::new(Code::Conflict, why.user_message()),
            DecideError::NotOffered { what } => Self::new(
                Code::Conflict,
                format!("This approval cannot be {what}. See its `actions`."),
            ),
            DecideError::OtherEdit { is_draft } => Self::new(
                Code::Conflict,
                if is_draft {
                    "A draft is edited with `instructions`, which say what to change, not with `patch`."
                } else {
                    "Only a draft is edited with `instructions`. Send `patch` with the parameters to change."
                },
            ),
            DecideError::Faulty(faults) => faults.into_iter().fold(
                Self::new(
                    Code::InvalidBody,
                    "The approval was not changed. Correct the fields that `errors` lists.",
                ),
                |refusal, fault| {
                    let mut pointer = "/patch".to_owned();
                    json::push(&mut pointer, &fault.field);
                    refusal.at(pointer, fault.code, fault.message)
                },
            ),
            DecideError::Revise(source) => source.into(),
            DecideError::Enqueue(source) => source.into(),
            DecideError::Database(source) => source.into(),
        }
    }
}
