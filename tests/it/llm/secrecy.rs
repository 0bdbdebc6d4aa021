//! What a call leaves behind: one log event per attempt and metrics, and nothing of what was said.

use super::*;
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, Once},
};
use tracing::instrument::WithSubscriber;
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

/// A writer that keeps what is logged.
#[derive(Clone, Default)]
pub(super) struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The events of the model client, without that of the closed span.
    pub(super) fn events(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|event| {
                let target = event["target"].as_str();
                target.is_some_and(|target| target.starts_with("llm"))
                    && event["message"] != "close"
            })
            .collect()
    }
}

impl io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for CapturedLog {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A log and the subscriber that writes it, down to the finest level.
pub(super) fn captured() -> (CapturedLog, impl tracing::Subscriber + Send + Sync) {
    // tracing remembers per call site whether anybody listens. Under `cargo test` other tests reach the same sites in
    // this process without a subscriber; one that always listens keeps them open.
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry())
            .expect("no other test sets a global subscriber");
    });
    let kept = CapturedLog::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(true)
        .with_span_events(FmtSpan::CLOSE)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(kept.clone())
        .finish();
    (kept, subscriber)
}

/// The call's result and everything that was logged meanwhile.
pub(super) async fn logged(asked: &TestCall) -> (Result<Completion, LlmError>, CapturedLog) {
    let (kept, subscriber) = captured();
    let result = asked.complete().with_subscriber(subscriber).await;
    (result, kept)
}

#[tokio::test]
async fn what_a_provider_echoes_is_neither_logged_nor_kept() {
    let echo = format!("Incorrect API key provided: {KEY}. You sent: {SECRET_TEXT}");
    let errors = json!({ "error": { "message": echo, "type": echo, "code": echo, "param": echo } });
    let in_error = |status: u16| {
        ResponseTemplate::new(status)
            .insert_header("x-request-id", KEY)
            .set_body_json(&errors)
    };
    let mut odd = answer("{}", "stop");
    odd["model"] = json!(echo);
    odd["choices"][0]["finish_reason"] = json!(echo);
    let mut declined = answer("", "stop");
    declined["choices"][0]["message"] = json!({ "refusal": echo });
    let replies = [
        in_error(400),
        in_error(401),
        in_error(429),
        in_error(500),
        in_error(200),
        ResponseTemplate::new(200).set_body_string(echo.as_str()),
        ResponseTemplate::new(200).set_body_json(odd),
        ResponseTemplate::new(200).set_body_json(declined),
    ];
    for reply in replies {
        let asked = TestCall::script([reply]).await;
        let (result, kept) = logged(&asked).await;
        let error = result.map(|_| ()).unwrap_err();
        let chain = base::telemetry::chain(&error);
        let all = format!(
            "{error} {error:?} {chain} {} {}",
            kept.text(),
            asked.scrape()
        );
        assert!(!kept.events().is_empty());
        for secret in [KEY, SECRET_TEXT, "Judge the email", "You sent"] {
            assert!(!all.contains(secret), "{}: found {secret}", error.class());
        }
    }
}

#[tokio::test]
async fn each_attempt_is_one_event_with_the_same_fields() {
    let limited = refuses(429)
        .insert_header("retry-after-ms", "40")
        .insert_header("x-request-id", "req_a");
    let broken = refuses(500).insert_header("x-request-id", "req_b");
    let good = says(r#"{"note":"Mossy again"}"#).insert_header("x-request-id", "req_c");
    let asked = TestCall::script([limited, broken, good]).await;
    let (result, kept) = logged(&asked).await;
    let completion = result.unwrap();
    assert!(!kept.text().contains("Mossy"));

    let events = kept.events();
    let values_of =
        |field: &str| -> Vec<Value> { events.iter().map(|event| event[field].clone()).collect() };
    let class = json!(["rate_limited", "transient", null]);
    assert_eq!(json!(values_of("error.type")), class);
    assert_eq!(values_of("x_request_id"), ["req_a", "req_b", "req_c"]);
    assert_eq!(values_of("status"), [429, 500, 200]);
    assert_eq!(
        json!(values_of("why")),
        json!([
            "requested by the provider",
            "backoff with full jitter",
            null
        ])
    );
    assert_eq!(values_of("attempt"), [2, 2, 2]);
    let delays: Vec<_> = events
        .iter()
        .map(|event| event["delay_ms"].as_u64())
        .collect();
    let [Some(asked_for), Some(own), None] = delays[..] else {
        panic!("{delays:?}");
    };
    // The shortest wait of our own is 100 ms, also on top of the provider's 40 ms.
    assert_eq!((asked_for, own), (140, 100));
    let good = &events[2];
    assert_eq!(good["gen_ai.response.finish_reasons"], r#"["stop"]"#);
    let tokens = ["input", "output"].map(|kind| &good[format!("gen_ai.usage.{kind}_tokens")]);
    assert_eq!(tokens, [&json!(400), &json!(40)]);
    assert_eq!(good["prompt_bytes"], completion.prompt_bytes);
    assert_eq!(good["response_bytes"], completion.response_bytes);
    assert_eq!(good["prompt_sha256"].as_str().map(str::len), Some(64));
    for field in [
        "job.id",
        "tenant.id",
        "prompt_version",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "task",
        "client_request_id",
    ] {
        let values: BTreeSet<_> = values_of(field).iter().map(ToString::to_string).collect();
        let expected = if field == "client_request_id" { 3 } else { 1 };
        assert_eq!(values.len(), expected, "{field}: {values:?}");
        assert!(!values.contains("null"), "{field}");
    }
}

#[tokio::test]
async fn metrics_have_their_names_and_only_labels_from_closed_sets() {
    let asked = TestCall::script([
        refuses(500).insert_header("retry-after-ms", "1"),
        says("{}"),
    ])
    .await;
    asked.complete().await.unwrap();
    asked
        .model
        .metrics()
        .output_invalid("triage", llm::InvalidReason::Json, true);
    let names: Vec<_> = asked
        .registry
        .gather()
        .iter()
        .map(|family| family.name().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "gen_ai_client_operation_duration_seconds",
            "gen_ai_client_token_usage",
            "postroom_llm_admission_seconds",
            "postroom_llm_attempts_total",
            "postroom_llm_inflight",
            "postroom_llm_output_invalid_total",
            "postroom_llm_prompt_bytes",
            "postroom_llm_rate_reached_total",
            "postroom_llm_rate_wait_seconds",
            "postroom_llm_requests_total",
            "postroom_llm_response_bytes",
            "postroom_llm_retries_total",
            "postroom_llm_retry_after_seconds",
            "postroom_llm_tokens_total",
        ]
    );
    let text = asked.scrape();
    let mut series: Vec<_> = text
        .lines()
        .filter(|line| {
            line.contains("_total{") || line.contains("_count{") || line.contains("inflight{")
        })
        .collect();
    series.sort_unstable();
    assert_eq!(
        series,
        [
            r#"gen_ai_client_operation_duration_seconds_count{error_type="",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="fake-1"} 1"#,
            r#"gen_ai_client_token_usage_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="fake-1",gen_ai_token_type="input"} 1"#,
            r#"gen_ai_client_token_usage_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="fake-1",gen_ai_token_type="output"} 1"#,
            r#"postroom_llm_admission_seconds_count{provider="openai"} 2"#,
            r#"postroom_llm_attempts_total{model="fake-1",outcome="ok",provider="openai",task="triage"} 1"#,
            r#"postroom_llm_attempts_total{model="fake-1",outcome="transient",provider="openai",task="triage"} 1"#,
            r#"postroom_llm_inflight{provider="openai"} 0"#,
            r#"postroom_llm_output_invalid_total{reason="json",repaired="true",task="triage"} 1"#,
            r#"postroom_llm_prompt_bytes_count{model="fake-1",provider="openai",task="triage"} 1"#,
            r#"postroom_llm_rate_reached_total{model="fake-1",provider="openai"} 0"#,
            r#"postroom_llm_rate_wait_seconds_count{model="fake-1",provider="openai"} 0"#,
            r#"postroom_llm_requests_total{model="fake-1",outcome="ok",provider="openai",task="triage"} 1"#,
            r#"postroom_llm_response_bytes_count{model="fake-1",provider="openai",task="triage"} 2"#,
            r#"postroom_llm_retries_total{model="fake-1",provider="openai",reason="transient"} 1"#,
            r#"postroom_llm_retry_after_seconds_count{provider="openai"} 1"#,
            r#"postroom_llm_tokens_total{model="fake-1",provider="openai",type="input"} 400"#,
            r#"postroom_llm_tokens_total{model="fake-1",provider="openai",type="output"} 40"#,
        ]
    );
}
