//! Every failure, on every provider: its class, the wait that it names, and how many requests it costs.
//!
//! What each class means for emails and drafts is held by `lanes::matrix`, and for each error by the table of `model_failure`.

use super::{
    KEY, QUICK, call, now,
    providers::{Provider, providers},
};
use crate::support::faults::{FaultServer, ServerFault, mark};
use futures::future::join_all;
use llm::{LlmError, LlmMetrics, Model, Prompt, RetryConfig, Trusted};
use prometheus::Registry;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A failure and what is expected of it.
struct Row {
    name: String,
    fault: ServerFault,
    class: &'static str,
    /// In seconds.
    wait: Option<i64>,
    requests: usize,
}

fn row(
    name: &str,
    fault: ServerFault,
    class: &'static str,
    wait: Option<i64>,
    requests: usize,
) -> Row {
    Row {
        name: name.to_owned(),
        fault,
        class,
        wait,
        requests,
    }
}

fn refuses(status: u16, headers: &str, error: &Value) -> ServerFault {
    ServerFault::Says(
        status,
        headers.to_owned(),
        json!({ "error": error }).to_string(),
    )
}

/// The failures that are the same for all providers. The clock of the client stands at 2026-11-23T02:00:00Z.
fn common() -> Vec<Row> {
    let no = json!({ "message": "no", "type": "test", "code": null });
    let mut rows = Vec::new();
    for status in [408, 409, 500, 502, 503, 504, 529] {
        let name = format!("{status}");
        rows.push(row(&name, refuses(status, "", &no), "transient", None, 3));
        let name = format!("{status} with a wait");
        let fault = refuses(status, "retry-after: 30", &no);
        rows.push(row(&name, fault, "transient", Some(30), 1));
    }
    rows.push(row("429", refuses(429, "", &no), "rate_limited", None, 3));
    for header in [
        "retry-after: 30",
        "retry-after: 30.0",
        "retry-after: Mon, 23 Nov 2026 02:00:30 GMT",
        "retry-after-ms: 30000",
        "x-ms-retry-after-ms: 30000",
        "llm_provider-retry-after: 30",
        "llm_provider-retry-after-ms: 30000",
        "retry-after: 0\nx-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 30s",
        "x-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-tokens: 0m30s",
        "anthropic-ratelimit-requests-remaining: 0\nanthropic-ratelimit-requests-reset: 2026-11-23T02:00:30Z",
        "anthropic-ratelimit-input-tokens-remaining: 0\nanthropic-ratelimit-input-tokens-reset: 2026-11-23T02:00:30Z",
        "ratelimit-remaining: 0\nratelimit-reset: 30",
        "x-ratelimit-remaining: 0\nx-ratelimit-reset: 1795399230",
    ] {
        let fault = refuses(429, header, &no);
        rows.push(row(
            &format!("429, {header}"),
            fault,
            "rate_limited",
            Some(30),
            1,
        ));
    }
    for error in [
        json!({ "message": "Please retry in 30s." }),
        json!({ "message": "Try again in 30 seconds." }),
        json!({ "message": "Please try again in 0m30s. Visit us." }),
        json!({ "message": "no", "retry_after": 30 }),
        json!({ "status": "RESOURCE_EXHAUSTED", "details": [
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s" }] }),
    ] {
        let fault = refuses(429, "", &error);
        rows.push(row(
            &format!("429, {error}"),
            fault,
            "rate_limited",
            Some(30),
            1,
        ));
    }
    let hour = Some(3600);
    let fault = refuses(429, "retry-after: 3600", &no);
    rows.push(row(
        "429 with a wait of an hour",
        fault,
        "quota_exhausted",
        hour,
        1,
    ));
    for error in [
        json!({ "code": "insufficient_quota", "type": "insufficient_quota" }),
        json!({ "type": "enforced_spend_limit_reached" }),
        json!({ "status": "RESOURCE_EXHAUSTED", "details": [{ "violations": [
            { "quotaId": "GenerateRequestsPerDayPerProject" }] }] }),
        json!({ "message": "You exceeded your current quota, check your plan." }),
    ] {
        let fault = refuses(429, "retry-after: 1", &error);
        rows.push(row(
            &format!("429, {error}"),
            fault,
            "quota_exhausted",
            hour,
            1,
        ));
    }
    for (status, class, wait) in [
        (400, "bad_request", None),
        (401, "auth", None),
        (402, "quota_exhausted", hour),
        (403, "auth", None),
        (404, "bad_request", None),
        (413, "context_too_long", None),
        (422, "bad_request", None),
    ] {
        rows.push(row(
            &format!("{status}"),
            refuses(status, "", &no),
            class,
            wait,
            1,
        ));
    }
    rows.push(row(
        "reset in the body",
        ServerFault::Resets,
        "connect",
        None,
        3,
    ));
    rows.push(row(
        "closed in the body",
        ServerFault::CutsOff,
        "connect",
        None,
        3,
    ));
    rows.push(row("stall", ServerFault::Stalls, "timeout", None, 3));
    let says = |body: &str| ServerFault::Says(200, String::new(), body.to_owned());
    rows.push(row(
        "huge",
        says(&"x".repeat(3 << 20)),
        "reply_too_large",
        None,
        1,
    ));
    rows.push(row(
        "HTML",
        says("<html>Log in</html>"),
        "invalid_reply",
        None,
        1,
    ));
    rows.push(row("empty body", says(""), "invalid_reply", None, 1));
    rows.push(row("no choices", says("{}"), "invalid_reply", None, 1));
    rows
}

/// Answers with status 200 that hold no text, in the words of a provider.
fn empty_answers(path: &str) -> Vec<Value> {
    if path.contains("chat/completions") {
        let choice = |message: Value| json!({ "choices": [{ "message": message, "finish_reason": "stop" }] });
        vec![
            json!({ "choices": [] }),
            choice(json!({ "role": "assistant", "content": null })),
            choice(Value::Null),
        ]
    } else if path.contains("/responses") {
        vec![
            json!({ "status": "completed", "output": [] }),
            json!({ "status": "completed", "output": [{ "type": "message", "content": [] }] }),
            json!({ "status": "completed", "output": null }),
        ]
    } else if path.contains("/messages") {
        vec![
            json!({ "content": [], "stop_reason": "end_turn" }),
            json!({ "content": null, "stop_reason": "end_turn" }),
        ]
    } else if path.contains(":generateContent") {
        vec![
            json!({ "candidates": [] }),
            json!({ "candidates": [{ "finishReason": "STOP", "content": {} }] }),
            json!({ "candidates": [{ "finishReason": "STOP", "content": { "parts": null } }] }),
        ]
    } else {
        vec![
            json!({ "done": true, "done_reason": "stop" }),
            json!({ "done": true, "done_reason": "stop", "message": { "content": null } }),
        ]
    }
}

fn model(client: llm::ProviderClient) -> Model {
    let metrics = LlmMetrics::register(&Registry::new()).unwrap();
    let retry = RetryConfig {
        attempt_timeout: Duration::from_secs(3),
        ..QUICK
    };
    Model::new(client, metrics, base::clock::Clock::fixed(now()), retry)
}

/// Calls the model with the mark of a fault; the error, and the requests that were tried.
async fn failure(model: &Model, fault: usize) -> (Result<(), LlmError>, u32) {
    let cancelled = CancellationToken::new();
    let mut call = call(Instant::now() + Duration::from_secs(50), &cancelled);
    call.prompt = Prompt::new("test.v1").system(Trusted::configured(&mark(fault)));
    let (result, cost) = model.complete_with_cost(&call).await;
    (result.map(drop), cost.tries)
}

/// Has every failure answered by this provider; returns what is not as expected.
async fn unexpected(provider: &Provider) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut rows = common();
    for answer in empty_answers(provider.path) {
        let fault = ServerFault::Says(200, String::new(), answer.to_string());
        rows.push(row(&answer.to_string(), fault, "invalid_reply", None, 1));
    }
    let mut half = provider.answer.to_string();
    half.truncate(half.len() / 2);
    let fault = ServerFault::Says(200, String::new(), half);
    rows.push(row("half an answer", fault, "invalid_reply", None, 1));
    for (answer, class) in [
        (&provider.unfinished, "truncated"),
        (&provider.refused, "refused"),
    ] {
        // Ollama has no word for a refusal.
        if !answer.is_null() {
            let fault = ServerFault::Says(200, String::new(), answer.to_string());
            rows.push(row(class, fault, class, None, 1));
        }
    }

    let server = FaultServer::start(rows.iter().map(|row| row.fault.clone()).collect()).await;
    let model = model(provider.client(&format!("http://{}", server.addr)));
    let failures = (0..rows.len()).map(|fault| failure(&model, fault));
    for ((number, row), (result, _)) in rows.iter().enumerate().zip(join_all(failures).await) {
        let found = match result {
            Ok(()) => "an answer".to_owned(),
            Err(error) => {
                assert!(!format!("{error:?}").contains(KEY));
                let wait = error.retry_at().map(|at| (at - now()).num_seconds());
                format!("{} {wait:?} {}", error.class(), server.requests(number))
            }
        };
        let wanted = format!("{} {:?} {}", row.class, row.wait, row.requests);
        if found != wanted {
            let (provider, name) = (provider.name, &row.name);
            wrong.push(format!("{provider}, {name}: {found} instead of {wanted}"));
        }
    }
    wrong
}

#[tokio::test]
async fn failure_has_its_class_its_wait_and_its_number_of_requests_on_every_provider() {
    let providers = providers();
    let wrong = join_all(providers.iter().map(unexpected)).await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn refused_connection_is_tried_three_times_on_every_provider() {
    // A port on which nothing listens any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = closed.local_addr().unwrap();
    drop(closed);
    for provider in providers() {
        let model = model(provider.client(&format!("http://{addr}")));
        let (result, tries) = failure(&model, 0).await;
        assert_eq!(result.unwrap_err().class(), "connect", "{}", provider.name);
        assert_eq!(tries, 3, "{}", provider.name);
    }
}
