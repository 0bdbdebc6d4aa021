//! The model client against a real HTTP server that misbehaves: what is sent, what is repeated, what is kept to oneself.
//!
//! [`TestCall`] is a model over a scripted server. How the client reads and decides is tested beside its code; here it is held
//! to what goes over the wire.

mod batches;
mod billing;
mod matrix;
mod providers;
mod replies;
mod retries;
mod secrecy;
mod telemetry;
mod tiers;

use base::{JobId, TenantId, clock::Clock};
use chrono::{DateTime, Utc};
use llm::{Call, OutputSchema};
use llm::{
    Completion, LlmError, LlmMetrics, Model, Naming, Prompt, Provider, RetryConfig, ServiceTier,
    Target, Trusted, Untrusted,
};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

const KEY: &str = "sk-live-4711-do-not-tell";
const SECRET_TEXT: &str = "my cat is called Mossy";

const QUICK: RetryConfig = RetryConfig {
    base: Duration::from_millis(2),
    cap: Duration::from_millis(8),
    max_tries: 3,
    attempt_timeout: Duration::from_secs(5),
};

/// A model, the server behind it and what it counted.
struct TestCall {
    server: MockServer,
    model: Model,
    registry: Registry,
    cancelled: CancellationToken,
    /// From the call's start to its deadline.
    time: Duration,
}

impl TestCall {
    async fn with(retry: RetryConfig) -> Self {
        let server = MockServer::start().await;
        let address = format!("{}/v1/", server.uri());
        let (model, registry) = model_at(&address, retry);
        Self {
            server,
            model,
            registry,
            cancelled: CancellationToken::new(),
            time: Duration::from_secs(60),
        }
    }

    /// The server's replies, in this order; the last one stays.
    async fn script(replies: impl IntoIterator<Item = ResponseTemplate>) -> Self {
        let asked = Self::with(QUICK).await;
        asked.replies(replies).await;
        asked
    }

    async fn replies(&self, replies: impl IntoIterator<Item = ResponseTemplate>) {
        let mut replies = replies.into_iter().peekable();
        while let Some(reply) = replies.next() {
            let mock = Mock::given(method("POST"))
                .and(path("/v1/chat/completions"))
                .respond_with(reply);
            let mock = match replies.peek() {
                Some(_) => mock.up_to_n_times(1),
                None => mock,
            };
            mock.mount(&self.server).await;
        }
    }

    async fn complete(&self) -> Result<Completion, LlmError> {
        self.model
            .complete(&call(Instant::now() + self.time, &self.cancelled))
            .await
    }

    async fn refused(&self) -> LlmError {
        self.complete()
            .await
            .map(|_| ())
            .expect_err("the call must fail")
    }

    async fn requests(&self) -> Vec<Request> {
        self.server
            .received_requests()
            .await
            .expect("requests are recorded")
    }

    async fn tries(&self) -> usize {
        self.requests().await.len()
    }

    /// The value of one series, as Prometheus would scrape it; none if it is not there.
    fn metric(&self, series: &str) -> Option<f64> {
        let text = self.scrape();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    fn scrape(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap()
    }
}

fn model_at(address: &str, retry: RetryConfig) -> (Model, Registry) {
    model_named(Naming::V1_41, address, retry)
}

/// With the metrics of a version of OpenTelemetry's conventions.
fn model_named(naming: Naming, address: &str, retry: RetryConfig) -> (Model, Registry) {
    let registry = Registry::new();
    let metrics = LlmMetrics::named(&registry, naming).unwrap();
    let target = Target::new(address.parse().unwrap(), "fake-1", KEY);
    let client = Provider::OpenAi.client(target).unwrap();
    let model = Model::new(client, metrics, Clock::fixed(now()), retry);
    (model, registry)
}

fn now() -> DateTime<Utc> {
    "2026-11-23T02:00:00Z".parse().unwrap()
}

fn call(deadline: Instant, cancelled: &CancellationToken) -> Call<'_> {
    Call {
        prompt: Prompt::new("test.v1")
            .system(Trusted::fixed("Judge the email."))
            .trusted(Trusted::configured("Rules: none"))
            .untrusted("body", Untrusted::new(SECRET_TEXT)),
        schema: OutputSchema::new(
            "verdict_v1",
            &json!({ "type": "object", "required": [], "properties": {}, "additionalProperties": false }),
        ),
        max_output_tokens: 700,
        task: "triage",
        tier: ServiceTier::Standard,
        deadline,
        tenant: TenantId::new(),
        job: JobId::new(),
        attempt: 2,
        cancelled,
    }
}

fn says(content: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(answer(content, "stop"))
}

fn answer(content: &str, finish_reason: &str) -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "fake-1-0711",
        "choices": [{
            "index": 0,
            "finish_reason": finish_reason,
            "message": { "role": "assistant", "content": content, "refusal": null },
        }],
        "usage": { "prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440 },
    })
}

fn refuses(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({
        "error": { "message": "no", "type": "test", "param": null, "code": null },
    }))
}
