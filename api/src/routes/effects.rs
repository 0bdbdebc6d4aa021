//! What was done to the outside world: `GET /v1/effects/{id}`. The bytes that went out are not shown.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::{Path, State},
    http::Method,
};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    commands::effects::reconcile::{ResolveError, resolve},
    domain::{ApprovalId, EffectId, effect::EffectStatus, session::Scope},
    store::effects::{self, StoredEffect},
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
        .summary("What was done to the outside world, or may have been")
        .answer::<Effect>(200, "The effect"),
        Route::new(
            Method::POST,
            "/v1/effects/{id}/resolve",
            "resolve_effect",
            Access::Session(Scope::ApprovalsDecide),
            resolve_effect,
        )
        .summary("Say what became of an effect that nobody else could tell")
        .body::<Resolution>("application/json")
        .answer::<Effect>(200, "The effect as it is now"),
    ]
}

/// One line of the ledger.
#[derive(Serialize, JsonSchema)]
struct Effect {
    id: EffectId,
    r#type: String,
    status: EffectStatus,
    /// Of the mail that is sent, the same for every try.
    message_id: Option<String>,
    approval_id: Option<ApprovalId>,
    /// The job that holds or held it.
    job_id: JobId,
    attempt: i32,
    /// By which the other side can be asked.
    receipt: Option<Value>,
    error_code: Option<String>,
    request_id: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Json<Effect>, ApiError> {
    let id: EffectId = id.parse().map_err(|_| ApiError::not_found())?;
    let mut conn = app.pool.acquire().await?;
    let found = effects::find(&mut conn, session.tenant, id).await?;
    found
        .map(|effect| Json(effect.into()))
        .ok_or_else(ApiError::not_found)
}

/// What a person found.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EffectResolution")]
struct Resolution {
    /// Whether it was done. If it was not, it may be asked for again.
    done: bool,
}

async fn resolve_effect(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<Resolution>,
) -> Result<Json<Effect>, ApiError> {
    let id: EffectId = id.parse().map_err(|_| ApiError::not_found())?;
    resolve(&app.pool, &session, id, body.done, &context.request_id)
        .await
        .map(|effect| Json(effect.into()))
        .map_err(|error| match error {
            ResolveError::NotFound => ApiError::not_found(),
            ResolveError::Refused(refused) => ApiError::new(
                Code::Conflict,
                format!(
                    "The effect is {}: nobody waits for your word.",
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
