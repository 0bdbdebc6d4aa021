//! A person's word on an approval. Each operation names, with `If-Match`, the version that the person has seen.

use super::{Approval, Versioned, versioned};
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, IfMatch, StrictJson, body, if_match, json},
    route_table::{Access, Place, Route},
    routes::drafts::words,
};
use axum::{
    extract::{Path, Request, State},
    http::Method,
};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    commands::approvals::decide::{
        DecideError, Decision, DecisionKind, DecisionRequest, RequestMeta, decide_approval,
    },
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
    .summary("Take a skip back, as the next version, or what was done");
    let approve = Route::new(
        Method::POST,
        "/v1/approvals/{id}/approve",
        "approve_approval",
        access,
        approve,
    )
    .summary("Agree to it: a job carries it out")
    .body::<Approve>(JSON);
    let revoke = Route::new(
        Method::POST,
        "/v1/approvals/{id}/revoke",
        "revoke_approval",
        access,
        revoke,
    )
    .summary("Take an agreement back before a worker has begun, as the next version");
    [approve, edit, skip, undo, revoke]
        .map(versioned_route)
        .into()
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

/// An agreement. The body may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApprovalApprove")]
struct Approve {
    /// How long a mail is held back before it goes, 0 to 60; until then the agreement can be revoked. 10 if it is left out.
    #[serde(default)]
    #[schemars(range(min = 0, max = 60))]
    hold_seconds: Option<i64>,
}

const HOLD_SECONDS: i64 = 10;
const LONGEST_HOLD_SECONDS: i64 = 60;

/// A change of what is proposed: either a patch, or for a draft what is to be changed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApprovalEdit")]
struct Edit {
    /// Parameters to put over those that are there; a null removes one. Not for drafts.
    #[serde(default)]
    patch: Option<Map<String, Value>>,
    /// Of a draft: what is to be changed, 1 to 2,000 characters. A job writes the next version; until then the approval is
    /// `editing`.
    #[serde(default)]
    instructions: Option<String>,
}

async fn edit(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
    StrictJson(body): StrictJson<Edit>,
) -> Result<Versioned, ApiError> {
    let decision =
        match (body.patch, body.instructions) {
            (Some(patch), None) => Decision::Edit(patch),
            (None, Some(said)) => Decision::Revise(words::instructions(&said)?),
            _ => {
                return Err(ApiError::new(
                    Code::InvalidBody,
                    "Send either `patch` or `instructions`.",
                )
                .at("", "INVALID_VALUE", "The fields do not go together."));
            }
        };
    decide(&app, &session, &context, &id, seen, decision).await
}

async fn approve(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
    request: Request,
) -> Result<Versioned, ApiError> {
    let bytes = body::read(&app, request).await?;
    let asked: Approve = if bytes.is_empty() {
        Approve::default()
    } else {
        json::into_type(json::parse(&bytes)?)?
    };
    let hold = asked.hold_seconds.unwrap_or(HOLD_SECONDS);
    if !(0..=LONGEST_HOLD_SECONDS).contains(&hold) {
        return Err(
            ApiError::new(Code::InvalidBody, "Hold a mail back for 0 to 60 seconds.").at(
                "/hold_seconds",
                "INVALID_VALUE",
                "The value does not fit this field.",
            ),
        );
    }
    let decision = Decision::Approve {
        hold: TimeDelta::seconds(hold),
    };
    decide(&app, &session, &context, &id, seen, decision).await
}

async fn revoke(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned, ApiError> {
    decide(&app, &session, &context, &id, seen, Decision::Revoke).await
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
    let ask = DecisionRequest {
        approval: id.parse().map_err(|_| ApiError::not_found())?,
        version,
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
    Ok(versioned(decided))
}

fn count(app: &App, made: DecisionKind, proposed: DateTime<Utc>, now: DateTime<Utc>) {
    let metrics = &app.metrics;
    metrics
        .approvals_total
        .with_label_values(&[made.as_str()])
        .inc();
    if matches!(made, DecisionKind::Approved | DecisionKind::Skipped) {
        let took = (now - proposed).to_std().unwrap_or_default();
        metrics.approval_latency_seconds.observe(took.as_secs_f64());
    }
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
            DecideError::Draft(refused) => Self::new(
                Code::Conflict,
                format!(
                    "The draft is {}; one cannot {} it then.",
                    refused.status, refused.step
                ),
            ),
            DecideError::Foreseen(why) => Self::new(Code::Conflict, why.user_message()),
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
            DecideError::Revise(source) => source.into(),
            DecideError::Enqueue(source) => Self::internal(source),
            DecideError::Database(source) => source.into(),
        }
    }
}
