//! [`FakeModel`]: an OpenAI-compatible server on loopback that follows a script, call by call.
//!
//! It counts what it was asked and can hold an answer back, so that a test knows that a job is running. It checks
//! nothing of the requests: that is what the tests of the model client do.

use super::{
    TestDb, eventually,
    system::{Variables, Worker},
};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// What a model says of an email that asks for an answer: one task, which a new tenant's trust leaves to a person.
pub(crate) const VERDICT: &str = r#"{
    "reasoning": "A person asks for an appointment.", "disposition": "notify", "category": "scheduling",
    "priority": "medium", "sla": "<72h", "matched_rule": null, "confidence": 0.9,
    "actions": [{"type": "create_task", "params": {"title": "TestResponse the sender"},
        "rationale": "They wait for it.", "confidence": 0.8}],
    "entities": {"people": [], "amounts": [], "dates": []}, "injection_suspected": false
}"#;

/// What a model writes for a draft.
const DRAFT: &str = r#"{
    "body_text": "Hello,\n\nthank you, noted.\n\nBest regards", "subject": "A note", "confidence": "MEDIUM",
    "assumptions": [], "open_questions": [], "used_memory_ids": [], "language": "en"
}"#;

/// What becomes of one call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A complete answer with this content.
    Says(String),
    /// A complete answer that fits the task: a verdict or a draft.
    Fits,
    /// As [`Reply::Fits`], with these headers.
    FitsWith(&'static [(&'static str, &'static str)]),
    /// As [`Reply::Says`], once the test lets go.
    Holds(String),
    /// As [`Reply::Fits`] to ordinary requests; to cheap ones as OpenAI answers without room for them.
    LacksRoom,
    /// This status, with `retry-after` if there are seconds.
    Refuses(u16, Option<u32>),
    /// This status to requests with this word; as [`Reply::Fits`] to others.
    RefusesWord(u16, &'static str),
    /// Half of an answer, which ends at the limit on output tokens.
    CutsOff,
}

/// A model server; stops with its value.
pub(crate) struct FakeModel {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    /// The next calls' replies; the last one stays for all that follow.
    script: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Value>>,
    /// When it was asked, in the order of `asked`.
    times: Mutex<Vec<Instant>>,
    released: watch::Sender<bool>,
}

impl FakeModel {
    /// Replies in this order; the last reply repeats.
    pub(crate) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into_iter().collect()),
            asked: Mutex::default(),
            times: Mutex::default(),
            released: watch::Sender::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a free port");
        let addr = listener.local_addr().expect("a bound address");
        // Wherever the base URL ends: providers differ in it, and this is about behaviour.
        let router = Router::new()
            .fallback(post(answer))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("serve until dropped");
        });
        Self {
            addr,
            shared,
            server,
        }
    }

    /// Its entry in a models file, as this model.
    pub(crate) fn entry(&self, model: &str, fallbacks: &[&str]) -> Value {
        json!({
            "model": model,
            "base_url": format!("http://{}/v1", self.addr),
            "key_variable": "KEY_OF_THE_TESTS",
            "fallbacks": fallbacks,
        })
    }

    /// A worker process that asks this model.
    pub(crate) async fn worker(&self, db: &TestDb, variables: Variables<'_>) -> Worker {
        let base = format!("http://{}/v1", self.addr);
        let mut all = vec![
            ("LLM_PROVIDER", "openai"),
            ("LLM_MODEL", "fake-1"),
            ("LLM_BASE_URL", base.as_str()),
            ("LLM_API_KEY", "key-of-the-tests"),
        ];
        all.extend(variables);
        Worker::spawn_with(db, &all).await
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> usize {
        self.shared
            .asked
            .lock()
            .expect("no panic with the lock")
            .len()
    }

    /// The most calls that came within any stretch of time of this length.
    pub(crate) fn most_calls_in(&self, length: Duration) -> usize {
        let times = self.shared.times.lock().expect("no panic with the lock");
        let from = |first: &Instant| {
            let stretch = *first..*first + length;
            times.iter().filter(|time| stretch.contains(*time)).count()
        };
        times.iter().map(from).max().unwrap_or(0)
    }

    /// Replies like this from now on.
    pub(crate) fn turns_to(&self, reply: Reply) {
        let mut script = self.shared.script.lock().expect("no panic with the lock");
        *script = VecDeque::from([reply]);
    }

    /// The text of all messages of a call; the first call is 0.
    pub(crate) fn prompt(&self, call: usize) -> String {
        let asked = self.shared.asked.lock().expect("no panic with the lock");
        let messages = asked[call]["messages"].as_array().expect("messages");
        messages
            .iter()
            .filter_map(|message| message["content"].as_str())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The field of a call's body; the first call is 0.
    pub(crate) fn field(&self, call: usize, name: &str) -> Value {
        let asked = self.shared.asked.lock().expect("no panic with the lock");
        asked[call][name].clone()
    }

    /// Waits until it was asked this often.
    pub(crate) async fn asked(&self, calls: usize) {
        eventually(super::wait::SOON, async || match self.calls() {
            n if n >= calls => Ok(()),
            n => Err(format!("the model was asked {n} times, not yet {calls}")),
        })
        .await;
    }

    /// Lets go of every answer that is held back, now and later.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let body = request.to_string();
    let is_draft = body.contains("draft_v");
    let served = Served {
        model: request["model"].as_str().unwrap_or("fake-1").to_owned(),
        is_flex: request["service_tier"] == "flex",
    };
    shared
        .asked
        .lock()
        .expect("no panic with the lock")
        .push(request);
    shared
        .times
        .lock()
        .expect("no panic with the lock")
        .push(Instant::now());
    let reply = {
        let mut script = shared.script.lock().expect("no panic with the lock");
        match script.len() {
            0 | 1 => script.front().cloned().unwrap_or(Reply::Refuses(500, None)),
            _ => script.pop_front().expect("more than one"),
        }
    };
    match reply {
        Reply::Says(content) => completion(&served, &content),
        Reply::RefusesWord(status, word) if body.contains(word) => refusal(status, None),
        Reply::Fits | Reply::RefusesWord(..) if is_draft => completion(&served, DRAFT),
        Reply::Fits | Reply::RefusesWord(..) => completion(&served, VERDICT),
        Reply::CutsOff => ended(&served, "{", "length"),
        Reply::FitsWith(headers) => {
            let content = if is_draft { DRAFT } else { VERDICT };
            let mut response = completion(&served, content);
            for (name, value) in headers {
                let value = HeaderValue::from_static(value);
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
            response
        }
        Reply::Holds(content) => {
            let mut released = shared.released.subscribe();
            released
                .wait_for(|released| *released)
                .await
                .expect("the sender lives as long");
            completion(&served, &content)
        }
        Reply::LacksRoom if served.is_flex => {
            let error =
                json!({ "message": "Resource unavailable", "code": "resource_unavailable" });
            let body = Json(json!({ "error": error }));
            (StatusCode::TOO_MANY_REQUESTS, body).into_response()
        }
        Reply::LacksRoom => {
            let content = if is_draft { DRAFT } else { VERDICT };
            completion(&served, content)
        }
        Reply::Refuses(status, retry_after) => refusal(status, retry_after),
    }
}

fn refusal(status: u16, retry_after: Option<u32>) -> Response {
    let status = StatusCode::from_u16(status).expect("a status code");
    let body = Json(json!({ "error": { "message": "refused", "type": "test", "code": null } }));
    match retry_after {
        Some(seconds) => (status, [("retry-after", seconds.to_string())], body).into_response(),
        None => (status, body).into_response(),
    }
}

/// What an answer says of its request.
struct Served {
    model: String,
    is_flex: bool,
}

fn completion(served: &Served, content: &str) -> Response {
    ended(served, content, "stop")
}

fn ended(served: &Served, content: &str, finish: &str) -> Response {
    Json(json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": served.model,
        "service_tier": if served.is_flex { "flex" } else { "default" },
        "choices": [{
            "index": 0,
            "finish_reason": finish,
            "message": { "role": "assistant", "content": content, "refusal": null },
        }],
        "usage": { "prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440 },
    }))
    .into_response()
}
