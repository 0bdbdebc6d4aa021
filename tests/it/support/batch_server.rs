//! [`BatchServer`]: the batches of OpenAI, with its files, and of Gemini on loopback, beside ordinary requests. It keeps what it was
//! sent and answers when the test says so.

mod gemini;

use super::{
    TestDb, eventually,
    model::VERDICT,
    system::{Variables, Worker},
    wait::SOON,
};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{net::TcpListener, task::JoinHandle};

const MODEL: &str = "gpt-5.4-mini";

/// How the server treats batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are answered at once.
    #[default]
    Answers,
    /// They stay in progress.
    Works,
    /// They are made, and the reply that says so is an error.
    LosesReply,
    /// They end with no answer to the first request, an error for the second, and nothing of the others.
    Expires,
    /// None is made: the server fails.
    Fails,
    /// There are none.
    Lacks,
}

/// Whose interface a worker speaks with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Gemini,
}

/// A server; stops with its value.
pub(crate) struct BatchServer {
    addr: SocketAddr,
    dialect: Dialect,
    shared: Arc<Mutex<ServerState>>,
    server: JoinHandle<()>,
    /// With the prices of its models.
    prices: tempfile::NamedTempFile,
}

#[derive(Default)]
struct ServerState {
    mode: Mode,
    /// The requests of each batch, by its id.
    batches: BTreeMap<String, Batch>,
    files: BTreeMap<String, Vec<Value>>,
    /// What was deleted, in this order.
    deleted: Vec<String>,
    /// Ordinary requests.
    singles: usize,
}

struct Batch {
    requests: Vec<Value>,
    /// What it says of itself: its metadata, or the name that it was given.
    label: Value,
    input: String,
}

type Shared = State<Arc<Mutex<ServerState>>>;

impl BatchServer {
    pub(crate) async fn start(dialect: Dialect, mode: Mode) -> Self {
        let shared = Arc::new(Mutex::new(ServerState {
            mode,
            ..ServerState::default()
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound address");
        let router = Router::new()
            .route("/v1/files", post(upload))
            .route("/v1/files/{id}", delete(forget))
            .route("/v1/files/{id}/content", get(content))
            .route("/v1/batches", post(create).get(list))
            .route("/v1/batches/{id}", get(status))
            .route("/v1/chat/completions", post(single))
            .merge(gemini::routes())
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("serve until dropped");
        });
        Self {
            addr,
            dialect,
            shared,
            server,
            prices: prices(),
        }
    }

    /// A worker process that asks this server, and looks at batches every second.
    pub(crate) async fn worker(&self, db: &TestDb, variables: Variables<'_>) -> Worker {
        let (provider, base) = match self.dialect {
            Dialect::OpenAi => ("openai", format!("http://{}/v1", self.addr)),
            Dialect::Gemini => ("gemini", format!("http://{}", self.addr)),
        };
        let mut all = vec![
            ("LLM_PROVIDER", provider),
            ("LLM_MODEL", MODEL),
            ("LLM_BASE_URL", base.as_str()),
            (
                "LLM_PRICES_FILE",
                self.prices.path().to_str().expect("plain names"),
            ),
            ("LLM_API_KEY", "key-of-the-tests"),
            ("LLM_BATCH_SECONDS", "1"),
        ];
        all.extend(variables);
        Worker::spawn_with(db, &all).await
    }

    pub(crate) fn turns_to(&self, mode: Mode) {
        lock(&self.shared).mode = mode;
    }

    /// How many requests each batch has, the oldest batch first.
    pub(crate) fn batches(&self) -> Vec<usize> {
        let state = lock(&self.shared);
        state
            .batches
            .values()
            .map(|batch| batch.requests.len())
            .collect()
    }

    /// The requests of all batches.
    pub(crate) fn requests(&self) -> Vec<Value> {
        let state = lock(&self.shared);
        let requests = state
            .batches
            .values()
            .flat_map(|batch| batch.requests.clone());
        requests.collect()
    }

    /// What was deleted, in this order.
    pub(crate) fn deleted(&self) -> Vec<String> {
        lock(&self.shared).deleted.clone()
    }

    /// How many ordinary requests it got.
    pub(crate) fn singles(&self) -> usize {
        lock(&self.shared).singles
    }

    /// Waits until there are this many batches.
    pub(crate) async fn has_batches(&self, count: usize) {
        eventually(SOON, async || match self.batches().len() {
            found if found >= count => Ok(()),
            found => Err(format!("{found} batches, not yet {count}")),
        })
        .await;
    }
}

impl Drop for BatchServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(shared: &Arc<Mutex<ServerState>>) -> MutexGuard<'_, ServerState> {
    shared.lock().expect("no panic with the lock")
}

/// The same prices for each provider.
fn prices() -> tempfile::NamedTempFile {
    let price = |provider| {
        json!({ "provider": provider, "model": MODEL, "input": 0.75, "output": 4.5,
            "tiers": { "batch": { "input": 0.375, "output": 2.25 } } })
    };
    let table = json!({ "as_of": "2026-11-30", "models": [price("openai"), price("gcp.gemini")] });
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), table.to_string()).expect("room for the prices");
    file
}

fn completion(model: &Value) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": model,
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": VERDICT, "refusal": null },
        }],
        "usage": { "prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440 },
    })
}

async fn single(State(shared): Shared, Json(request): Json<Value>) -> Json<Value> {
    lock(&shared).singles += 1;
    Json(completion(&request["model"]))
}

/// Reads the lines of JSON in the form, whichever lines are around them.
async fn upload(State(shared): Shared, form: String) -> Response {
    let mut state = lock(&shared);
    if state.mode == Mode::Lacks {
        return not_found();
    }
    let lines = form
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let lines: Vec<Value> = lines.filter(Value::is_object).collect();
    assert!(form.contains("name=\"purpose\"\r\n\r\nbatch\r\n"), "{form}");
    let id = format!("file-{}", state.files.len());
    state.files.insert(id.clone(), lines);
    Json(json!({ "id": id })).into_response()
}

async fn create(State(shared): Shared, Json(request): Json<Value>) -> Response {
    let mut state = lock(&shared);
    if state.mode == Mode::Fails {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let file = request["input_file_id"].as_str().expect("a file");
    let id = format!("batch_{:04}", state.batches.len());
    let batch = Batch {
        requests: state.files[file].clone(),
        label: request["metadata"].clone(),
        input: file.to_owned(),
    };
    assert_eq!(request["endpoint"], "/v1/chat/completions");
    state.batches.insert(id.clone(), batch);
    if state.mode == Mode::LosesReply {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    Json(json!({ "id": id, "status": "validating" })).into_response()
}

async fn list(State(shared): Shared) -> Json<Value> {
    let state = lock(&shared);
    let batch = |(id, batch): (&String, &Batch)| json!({ "id": id, "metadata": batch.label });
    Json(json!({ "data": state.batches.iter().map(batch).collect::<Vec<_>>() }))
}

async fn status(State(shared): Shared, Path(id): Path<String>) -> Response {
    let state = lock(&shared);
    let Some(batch) = state.batches.get(&id) else {
        return not_found();
    };
    let (status, output, error) = match state.mode {
        Mode::Answers => ("completed", json!(format!("output-{id}")), Value::Null),
        Mode::Expires => ("expired", Value::Null, json!(format!("error-{id}"))),
        Mode::Works | Mode::LosesReply | Mode::Fails | Mode::Lacks => {
            ("in_progress", Value::Null, Value::Null)
        }
    };
    let body = json!({
        "id": id, "status": status, "input_file_id": batch.input, "output_file_id": output, "error_file_id": error,
    });
    Json(body).into_response()
}

async fn forget(State(shared): Shared, Path(file): Path<String>) -> Json<Value> {
    lock(&shared).deleted.push(file.clone());
    Json(json!({ "id": file, "deleted": true }))
}

async fn content(State(shared): Shared, Path(file): Path<String>) -> String {
    let state = lock(&shared);
    let (kind, id) = file.split_once('-').expect("a file of a batch");
    let requests = &state.batches[id].requests;
    let answered = |request: &Value| {
        let body = completion(&request["body"]["model"]);
        json!({ "custom_id": request["custom_id"], "error": null, "response": { "status_code": 200, "body": body } })
    };
    let expired =
        json!({ "code": "batch_expired", "message": "This request could not be executed." });
    let failed =
        json!({ "error": { "message": "The server had an error.", "type": "server_error" } });
    let lines: Vec<Value> = match kind {
        "output" => requests.iter().map(answered).collect(),
        _ => requests
            .iter()
            .zip([
                json!({ "response": null, "error": expired }),
                json!({ "response": { "status_code": 500, "body": failed }, "error": null }),
            ])
            .map(|(request, mut line)| {
                line["custom_id"] = request["custom_id"].clone();
                line
            })
            .collect(),
    };
    let text = lines.iter().map(|line| format!("{line}\n"));
    text.collect()
}

fn not_found() -> Response {
    let body = json!({ "error": { "message": "Not found", "type": "invalid_request_error" } });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}
