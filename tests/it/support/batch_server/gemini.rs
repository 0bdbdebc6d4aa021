//! Gemini's batches: operations that hold their requests and answers.

use super::{Batch, Mode, ServerState, Shared, VERDICT, lock};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

pub(super) fn routes() -> Router<Arc<Mutex<ServerState>>> {
    Router::new()
        .route("/v1beta/models/{operation}", post(ask))
        .route("/v1beta/batches", get(list))
        .route("/v1beta/batches/{id}", get(status).delete(forget))
}

fn answer() -> Value {
    json!({
        "modelVersion": super::MODEL,
        "candidates": [{ "content": { "role": "model", "parts": [{ "text": VERDICT }] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 400, "candidatesTokenCount": 40, "totalTokenCount": 440 },
    })
}

/// An ordinary request, or one that makes a batch.
async fn ask(
    State(shared): Shared,
    Path(operation): Path<String>,
    Json(request): Json<Value>,
) -> Response {
    let mut state = lock(&shared);
    if operation.ends_with(":generateContent") {
        state.singles += 1;
        return Json(answer()).into_response();
    }
    match state.mode {
        Mode::Lacks => return StatusCode::NOT_FOUND.into_response(),
        Mode::Fails => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Mode::Answers | Mode::Works | Mode::LosesReply | Mode::Expires => {}
    }
    let batch = &request["batch"];
    let requests = batch["inputConfig"]["requests"]["requests"].as_array();
    let id = format!("made-{:04}", state.batches.len());
    let made = Batch {
        requests: requests.expect("requests").clone(),
        label: batch["displayName"].clone(),
        input: String::new(),
    };
    state.batches.insert(id.clone(), made);
    if state.mode == Mode::LosesReply {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    Json(operation_of(&state, &id)).into_response()
}

async fn list(State(shared): Shared) -> Json<Value> {
    let state = lock(&shared);
    let all: Vec<Value> = state
        .batches
        .keys()
        .map(|id| operation_of(&state, id))
        .collect();
    Json(json!({ "operations": all }))
}

async fn status(State(shared): Shared, Path(id): Path<String>) -> Response {
    let state = lock(&shared);
    match state.batches.contains_key(&id) {
        true => Json(operation_of(&state, &id)).into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn forget(State(shared): Shared, Path(id): Path<String>) -> Json<Value> {
    lock(&shared).deleted.push(id);
    Json(json!({}))
}

fn operation_of(state: &ServerState, id: &str) -> Value {
    let batch = &state.batches[id];
    let key = |request: &Value| request["metadata"].clone();
    let (word, answers) = match state.mode {
        Mode::Answers => {
            let answered = |request| json!({ "metadata": key(request), "response": answer() });
            let all: Vec<Value> = batch.requests.iter().map(answered).collect();
            ("SUCCEEDED", all)
        }
        Mode::Expires => {
            let error = json!({ "code": 13, "message": "Internal error." });
            let failed = |request| json!({ "metadata": key(request), "error": error });
            let second = batch.requests.get(1).map(failed);
            ("EXPIRED", second.into_iter().collect())
        }
        Mode::Works | Mode::LosesReply | Mode::Fails | Mode::Lacks => ("RUNNING", Vec::new()),
    };
    let mut operation = json!({
        "name": format!("batches/{id}"),
        "metadata": { "displayName": batch.label, "state": format!("BATCH_STATE_{word}") },
    });
    if word != "RUNNING" {
        operation["done"] = json!(true);
        operation["response"] = json!({ "inlinedResponses": { "inlinedResponses": answers } });
    }
    operation
}
