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
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
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
    /// As [`Reply::Says`], once the test lets go.
    Holds(String),
    /// This status, with `retry-after` if there are seconds.
    Refuses(u16, Option<u32>),
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
    released: watch::Sender<bool>,
}

impl FakeModel {
    /// Replies in this order; the last reply repeats.
    pub(crate) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into_iter().collect()),
            asked: Mutex::default(),
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
    let is_draft = request.to_string().contains("draft_v");
    let model = request["model"].as_str().unwrap_or("fake-1").to_owned();
    shared
        .asked
        .lock()
        .expect("no panic with the lock")
        .push(request);
    let reply = {
        let mut script = shared.script.lock().expect("no panic with the lock");
        match script.len() {
            0 | 1 => script.front().cloned().unwrap_or(Reply::Refuses(500, None)),
            _ => script.pop_front().expect("more than one"),
        }
    };
    match reply {
        Reply::Says(content) => completion(&model, &content),
        Reply::Fits if is_draft => completion(&model, DRAFT),
        Reply::Fits => completion(&model, VERDICT),
        Reply::Holds(content) => {
            let mut released = shared.released.subscribe();
            released
                .wait_for(|released| *released)
                .await
                .expect("the sender lives as long");
            completion(&model, &content)
        }
        Reply::Refuses(status, retry_after) => {
            let status = StatusCode::from_u16(status).expect("a status code");
            let body =
                Json(json!({ "error": { "message": "refused", "type": "test", "code": null } }));
            match retry_after {
                Some(seconds) => {
                    (status, [("retry-after", seconds.to_string())], body).into_response()
                }
                None => (status, body).into_response(),
            }
        }
    }
}

fn completion(model: &str, content: &str) -> Response {
    Json(json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": model,
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "message": { "role": "assistant", "content": content, "refusal": null },
        }],
        "usage": { "prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440 },
    }))
    .into_response()
}
