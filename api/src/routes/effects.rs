//! Effects outside Postroom: `/v1/effects/{id}`. The bytes that were sent are not shown.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, Id, StrictJson},
    route_table::{Access, Route},
    routes::drafts::not_yours,
};
use axum::{Json, extract::State, http::Method};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    commands::effects::reconcile::{ResolveError, resolve},
    domain::{ApprovalId, EffectId, action::ActionType, effect::EffectStatus, session::Scope},
    store::effects::{StoredEffect, read},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/effects/{id}",
            "get_effect",
            Access::Session(Scope::JobsRead),
            get,
        )
        .summary("Get an effect")
        .description("An effect is something that was done outside Postroom, such as an email that was sent. That of an approval that you may not read does not exist for you.")
        .answer::<Effect>(200, "The effect"),
        Route::new(
            Method::POST,
            "/v1/effects/{id}/resolve",
            "resolve_effect",
            Access::Session(Scope::ApprovalsDecide),
            resolve_effect,
        )
        .summary("Resolve an unknown effect")
        .description("Tells whether the effect happened, after neither Postroom nor the provider could.")
        .body::<Resolution>("application/json")
        .answer::<Effect>(200, "The effect as it is now")
        .errors(&[Code::Conflict, Code::NotYours]),
    ]
}

/// One entry of the effect ledger.
#[derive(Serialize, JsonSchema)]
struct Effect {
    id: EffectId,
    #[schemars(with = "ActionType")]
    r#type: String,
    status: EffectStatus,
    /// The Message-ID of the email, the same for every attempt.
    message_id: Option<String>,
    approval_id: Option<ApprovalId>,
    /// The job that executes or executed it.
    job_id: JobId,
    #[schemars(range(min = 1))]
    attempt: i32,
    /// What the provider returned; identifies the effect there.
    receipt: Option<Value>,
    error_code: Option<String>,
    request_id: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<EffectId>,
) -> Result<Json<Effect>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let found = read::find(&mut conn, (session.tenant, session.reader()), id).await?;
    found
        .map(|effect| Json(effect.into()))
        .ok_or_else(ApiError::not_found)
}

/// What you found out about an unknown effect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EffectResolution")]
struct Resolution {
    /// Whether it happened. If it did not, it may be requested again.
    done: bool,
}

async fn resolve_effect(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<EffectId>,
    StrictJson(body): StrictJson<Resolution>,
) -> Result<Json<Effect>, ApiError> {
    resolve(&app.pool, &session, id, body.done, &context.request_id)
        .await
        .map(|effect| Json(effect.into()))
        .map_err(|error| match error {
            ResolveError::NotFound => ApiError::not_found(),
            ResolveError::NotYours => not_yours(),
            ResolveError::Refused(refused) => ApiError::new(
                Code::Conflict,
                format!(
                    "The effect is {}. Only an unknown effect can be resolved.",
                    refused.status
                ),
            ),
            ResolveError::Database(source) => source.into(),
        })
}

impl From<StoredEffect> for Effect {
    fn from(effect: StoredEffect) -> Self {
        Self {
            id: effect.id,
            r#type: effect.kind,
            status: effect.status,
            message_id: effect.message_id,
            approval_id: effect.approval,
            job_id: effect.job,
            attempt: effect.attempt,
            receipt: effect.receipt,
            error_code: effect.error_code,
            request_id: effect.request_id,
            created_at: effect.created_at,
            updated_at: effect.updated_at,
        }
    }
}
