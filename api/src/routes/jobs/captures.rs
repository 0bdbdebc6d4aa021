//! What a model was asked for a job and what it answered: `GET /v1/jobs/{id}/captures`. Only where the owner has it kept.

use super::find;
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, Id, List},
    route_table::{Access, Route},
    routes::connections::stored_secrets,
};
use axum::{Json, extract::State, http::Method};
use base::JobId;
use chrono::{DateTime, Utc};
use jobs::{
    commands::llm::captures::{Capture, ReadCapturesError, read_captures},
    domain::session::Scope,
};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

pub(super) fn route() -> Route {
    Route::new(
        Method::GET,
        "/v1/jobs/{id}/captures",
        "list_captures",
        Access::Session(Scope::CapturesRead),
        list_captures,
    )
    .summary("List a job's questions to language models with their answers, oldest first")
    .fresh()
    .answer::<List<CaptureBody>>(
        200,
        "The exchanges; none unless `prompt_capture_days` was set when they took place",
    )
    .errors(&[Code::NotConfigured])
}

/// A question to a language model and its answer.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LlmCapture")]
struct CaptureBody {
    /// The request to the model.
    call_id: Uuid,
    step: String,
    provider: String,
    model: String,
    messages: Vec<CaptureMessage>,
    /// Null if there was no usable answer, or a batch has not answered yet.
    answer: Option<String>,
    /// The class of the failure.
    failure: Option<String>,
    created_at: DateTime<Utc>,
}

/// A message of a question to a language model.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LlmCaptureMessage")]
struct CaptureMessage {
    role: String,
    content: String,
}

async fn list_captures(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<JobId>,
) -> Result<Json<List<CaptureBody>>, ApiError> {
    find(&app, &session, id).await?;
    let keys = stored_secrets(&app)?;
    let found = read_captures(&app.pool, keys, &session, &context.request_id, id).await?;
    Ok(List::of(found))
}

impl From<ReadCapturesError> for ApiError {
    fn from(error: ReadCapturesError) -> Self {
        match error {
            ReadCapturesError::Database(error) => error.into(),
            ReadCapturesError::Open(error) => Self::internal(error),
        }
    }
}

impl From<Capture> for CaptureBody {
    fn from(capture: Capture) -> Self {
        let messages = capture.exchange.messages.into_iter();
        Self {
            call_id: capture.call,
            step: capture.step,
            provider: capture.provider,
            model: capture.model,
            messages: messages
                .map(|message| CaptureMessage {
                    role: message.role,
                    content: message.content,
                })
                .collect(),
            answer: capture.exchange.answer,
            failure: capture.exchange.failure,
            created_at: capture.created_at,
        }
    }
}
