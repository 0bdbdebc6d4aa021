//! A call to a model under OpenTelemetry's names: its span, its metrics in both versions, and the log of a worker.

use super::{secrecy::logged, *};
use crate::support::{
    TestDb,
    model::{FakeModel, Reply, VERDICT},
    system::{TestApi, metrics},
};
use std::collections::BTreeMap;

/// The span of the call when it closed, without what differs between two runs.
pub(super) fn closed(log: &str) -> BTreeMap<String, Value> {
    let mut lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let closed = lines.find(|line| line["message"] == "close" && line["target"] == SPANS);
    let span = closed.expect("the span was closed")["span"].take();
    let mut span = fields(span);
    for varying in ["job.id", "tenant.id", "server.port"] {
        assert!(span.remove(varying).is_some(), "{varying}");
    }
    span
}

const SPANS: &str = "llm::semconv::span";

fn fields(fields: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(fields).unwrap()
}

/// An answer with tokens of every kind.
fn cached_answer() -> ResponseTemplate {
    let mut body = answer(r#"{"note":"Mossy again"}"#, "stop");
    body["usage"]["prompt_tokens_details"] =
        json!({ "cached_tokens": 300, "cache_write_tokens": 50 });
    body["usage"]["completion_tokens_details"] = json!({ "reasoning_tokens": 7 });
    ResponseTemplate::new(200).set_body_json(body)
}

#[tokio::test]
async fn call_is_one_span_with_the_names_of_the_convention_and_no_content() {
    let asked = TestCall::script([refuses(500), cached_answer()]).await;
    let (result, log) = logged(&asked).await;
    result.unwrap();
    let text = log.text();
    assert!(!text.contains("Mossy") && !text.contains("Judge the email"));
    let expected = json!({
        "name": "chat",
        "otel.name": "chat fake-1",
        "otel.kind": "client",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "fake-1",
        "gen_ai.request.max_tokens": 700,
        "gen_ai.output.type": "json",
        "gen_ai.response.model": "fake-1-0711",
        "gen_ai.response.finish_reasons": r#"["stop"]"#,
        "gen_ai.usage.input_tokens": 400,
        "gen_ai.usage.output_tokens": 40,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_creation.input_tokens": 50,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "server.address": "127.0.0.1",
        "attempt": 2,
        "task": "triage",
        "requests": 2,
    });
    assert_eq!(closed(&text), fields(expected));
    // Each request is an event within it.
    assert_eq!(log.events().len(), 2);
    for event in log.events() {
        assert_eq!(event["spans"][0]["name"], "chat", "{event}");
    }
}

#[tokio::test]
async fn span_of_a_failed_call_names_the_class_of_the_failure() {
    let asked = TestCall::script([refuses(401)]).await;
    let (result, log) = logged(&asked).await;
    result.map(|_| ()).unwrap_err();
    let span = closed(&log.text());
    assert_eq!(span["error.type"], "auth");
    assert_eq!(span["otel.status_code"], "ERROR");
    assert_eq!(span["requests"], 1);
    for absent in [
        "gen_ai.response.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.response.finish_reasons",
    ] {
        assert!(!span.contains_key(absent), "{absent}");
    }
}

#[tokio::test]
async fn names_after_v1_41_replace_the_released_ones_when_they_are_chosen() {
    let mut asked = TestCall::script([cached_answer()]).await;
    let address = format!("{}/v1/", asked.server.uri());
    (asked.model, asked.registry) = model_named(Naming::Latest, &address, QUICK);
    let (result, log) = logged(&asked).await;
    result.unwrap();
    let text = asked.scrape();
    let mut series: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("gen_ai_") && !line.contains("_bucket{"))
        .map(|line| {
            let (name, rest) = line.split_once('{').unwrap();
            let (labels, value) = rest.split_once("} ").unwrap();
            assert!(labels.contains(r#"gen_ai_request_model="fake-1""#));
            (name, value)
        })
        .filter(|(name, _)| !name.ends_with("duration_seconds_sum"))
        .collect();
    series.sort_unstable();
    assert_eq!(
        series,
        [
            ("gen_ai_client_inference_duration_seconds_count", "1"),
            ("gen_ai_client_inference_operation_input_tokens_count", "1"),
            ("gen_ai_client_inference_operation_input_tokens_sum", "400"),
            ("gen_ai_client_inference_operation_output_tokens_count", "1"),
            ("gen_ai_client_inference_operation_output_tokens_sum", "40"),
            (
                "gen_ai_client_inference_usage_cache_read_input_tokens_total",
                "300"
            ),
            (
                "gen_ai_client_inference_usage_cache_write_input_tokens_total",
                "50"
            ),
            ("gen_ai_client_inference_usage_input_tokens_total", "400"),
            ("gen_ai_client_inference_usage_output_tokens_total", "40"),
            (
                "gen_ai_client_inference_usage_reasoning_output_tokens_total",
                "7"
            ),
        ]
    );
    let span = closed(&log.text());
    assert_eq!(span["gen_ai.usage.cache_write.input_tokens"], 50);
    assert!(!span.contains_key("gen_ai.usage.cache_creation.input_tokens"));
}

/// Triages one email with a worker process and returns its log and its metrics.
async fn triaged(variables: &[(&str, &str)]) -> (String, String) {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let worker = model.worker(&db, variables).await;
    let email =
        b"From: bob@example.org\r\nTo: ann@example.com\r\nSubject: My cat\r\n\r\nMossy is ill.";
    let job = client.submitted(email, "mossy").await;
    let job = client.finished(&job).await;
    assert_eq!(job["output"]["source"], "llm", "{job}");
    (worker.process.log(), metrics(worker.ops).await)
}

#[tokio::test]
async fn worker_logs_a_call_within_its_attempt_under_the_names_of_the_convention() {
    let (log, _) = triaged(&[]).await;
    let verdict: Value = serde_json::from_str(VERDICT).unwrap();
    let answer = verdict["reasoning"].as_str().unwrap();
    for content in ["Mossy", "My cat", "bob@example.org", answer] {
        assert!(!log.contains(content), "{content}");
    }
    let mut lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let event = lines
        .find(|line| line["message"] == "the model answered")
        .expect("the call is logged");
    assert_eq!(event["gen_ai.provider.name"], "openai");
    assert_eq!(event["gen_ai.response.model"], "fake-1");
    assert_eq!(event["gen_ai.usage.input_tokens"], 400);
    let spans = &event["spans"];
    assert_eq!(spans[0]["name"], "job.attempt");
    assert_eq!(spans[0]["job.kind"], "triage.email");
    assert!(spans[0]["request_id"].is_string(), "{event}");
    assert_eq!(spans[1]["otel.name"], "chat fake-1");
    assert_eq!(spans[1]["server.address"], "127.0.0.1");
}

#[tokio::test]
async fn worker_reads_the_version_of_the_names_from_its_variables() {
    let chosen = [(
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        "http,gen_ai_latest_experimental",
    )];
    for (variables, name) in [
        (&[][..], "gen_ai_client_operation_duration_seconds"),
        (&chosen[..], "gen_ai_client_inference_duration_seconds"),
    ] {
        let (_, metrics) = triaged(variables).await;
        let found: Vec<_> = metrics
            .lines()
            .filter(|line| line.starts_with("# TYPE gen_ai_") && line.contains("duration"))
            .collect();
        assert_eq!(found, [format!("# TYPE {name} histogram")]);
    }
}
