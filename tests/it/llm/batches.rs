//! What Anthropic's batches are sent, and how their answers are read. [`gemini`] has the same of Gemini's. OpenAI's are tested with
//! real workers in `batches.rs`.

mod gemini;

use super::{secrecy::captured, telemetry::closed, *};
use llm::{
    LlmProvider, Provider, ProviderClient, Target,
    batch::{BatchEnd, BatchItem, BatchedCall, Erased, Found, LostBatch},
};
use uuid::Uuid;
use wiremock::matchers::{body_json, header, query_param};

const BATCHES: &str = "/v1/messages/batches";

async fn server() -> (MockServer, ProviderClient) {
    let server = MockServer::start().await;
    let base = server.uri().parse().unwrap();
    let target = Target::new(base, "fake-1", KEY);
    let client = Provider::Anthropic.client(target).unwrap();
    (server, client)
}

async fn gets(server: &MockServer, at: &str, body: ResponseTemplate) {
    let mock = Mock::given(method("GET")).and(path(at));
    mock.respond_with(body).mount(server).await;
}

fn json_body(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn message() -> Value {
    json!({
        "type": "message", "model": "fake-1-0711", "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "{}" }],
        "usage": { "input_tokens": 100, "cache_read_input_tokens": 300, "output_tokens": 40 },
    })
}

/// The call whose answer came an hour later.
fn batched<'a>(call: &'a Call<'_>) -> BatchedCall<'a> {
    BatchedCall {
        task: "triage",
        schema: &call.schema,
        max_output_tokens: 700,
        prompt_bytes: 10,
        waited: Duration::from_secs(3600),
        tenant: call.tenant,
        job: call.job,
        attempt: 2,
        traceparent: None,
    }
}

fn results(lines: &[Value]) -> ResponseTemplate {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    ResponseTemplate::new(200).set_body_string(text.join("\n"))
}

#[tokio::test]
async fn anthropic_batch_is_made_with_its_requests() {
    let (server, client) = server().await;
    let item = BatchItem {
        id: Uuid::now_v7(),
        body: json!({ "model": "fake-1" }),
    };
    let wanted = json!({ "requests": [{ "custom_id": item.id, "params": { "model": "fake-1" } }] });
    Mock::given(method("POST"))
        .and(path(BATCHES))
        .and(header("x-api-key", KEY))
        .and(header("anthropic-version", "2023-06-01"))
        .and(body_json(&wanted))
        .respond_with(json_body(
            &json!({ "id": "msgbatch_1", "processing_status": "in_progress" }),
        ))
        .mount(&server)
        .await;
    let api = client.batches().unwrap().api;
    let made = api.create(Uuid::now_v7(), &[item], now()).await.unwrap();
    assert_eq!(made, "msgbatch_1");
    let status = json!({ "id": "msgbatch_1", "processing_status": "in_progress" });
    gets(
        &server,
        "/v1/messages/batches/msgbatch_1",
        json_body(&status),
    )
    .await;
    assert!(!api.has_ended("msgbatch_1", now()).await.unwrap());
}

#[tokio::test]
async fn anthropic_answers_are_told_from_errors_and_from_what_was_not_done() {
    let (server, client) = server().await;
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    let error =
        json!({ "type": "error", "error": { "type": "overloaded_error", "message": "no" } });
    let lines = [
        json!({ "custom_id": ids[0], "result": { "type": "succeeded", "message": message() } }),
        json!({ "custom_id": ids[1], "result": { "type": "errored", "error": error } }),
        json!({ "custom_id": ids[2], "result": { "type": "expired" } }),
        json!({ "custom_id": "somebody-else's", "result": { "type": "expired" } }),
        json!({ "custom_id": ids[3], "result": { "type": "canceled" } }),
    ];
    gets(
        &server,
        "/v1/messages/batches/msgbatch_1/results",
        results(&lines),
    )
    .await;
    let batches = client.batches().unwrap();
    let outcomes = batches.api.outcomes("msgbatch_1", now()).await.unwrap();
    let found: Vec<Uuid> = outcomes.iter().map(|outcome| outcome.id).collect();
    assert_eq!(found, ids);
    let BatchEnd::Answered(answer) = &outcomes[0].end else {
        panic!("{outcomes:?}");
    };
    assert!(matches!(&outcomes[1].end, BatchEnd::Failed(error) if error.class() == "transient"));
    assert!(
        outcomes[2..]
            .iter()
            .all(|it| matches!(it.end, BatchEnd::NotDone))
    );

    let metrics = LlmMetrics::register(&Registry::new()).unwrap();
    let answer = answer.clone();
    let model = Model::new(client, metrics, Clock::fixed(now()), QUICK);
    let cancelled = CancellationToken::new();
    let call = call(Instant::now(), &cancelled);
    let (log, subscriber) = captured();
    let (completion, usage) = tracing::subscriber::with_default(subscriber, || {
        model.read_batched(&answer, batched(&call))
    });
    let completion = completion.unwrap();
    let span = closed(&log.text());
    assert_eq!(span["otel.name"], "chat fake-1");
    assert_eq!(span["gen_ai.provider.name"], "anthropic");
    assert_eq!(span["gen_ai.usage.input_tokens"], 400);
    assert_eq!(span["gen_ai.response.finish_reasons"], r#"["stop"]"#);
    assert!(!log.text().contains("end_turn"), "no part of the answer");
    assert_eq!(
        (completion.text.as_str(), completion.tier),
        ("{}", ServiceTier::Batch)
    );
    assert_eq!(
        (usage.input, usage.cache_read, usage.output),
        (400, 300, 40)
    );
    let cut =
        json!({ "content": [], "stop_reason": "max_tokens", "usage": { "output_tokens": 7 } });
    let (refused, usage) = model.read_batched(&cut, batched(&call));
    assert_eq!(
        (refused.unwrap_err().class(), usage.output),
        ("truncated", 7)
    );
}

#[tokio::test]
async fn lost_batch_of_anthropic_is_recognised_by_its_requests_once_it_has_ended() {
    let (server, client) = server().await;
    let api = client.batches().unwrap().api;
    let item = Uuid::now_v7();
    let known = ["msgbatch_known".to_owned()];
    let lost = LostBatch {
        name: Uuid::now_v7(),
        items: &[item],
        since: now(),
        known: &known,
    };
    let list = |batches: &[(&str, &str, &str)]| {
        let batch = |(id, status, at): &(&str, &str, &str)| json!({ "id": id, "processing_status": status, "created_at": at });
        json_body(&json!({ "data": batches.iter().map(batch).collect::<Vec<_>>() }))
    };
    let just_now = "2026-11-23T02:00:01Z";
    for (batches, expected) in [
        (vec![], Found::Nothing),
        (
            vec![("msgbatch_known", "in_progress", just_now)],
            Found::Nothing,
        ),
        (
            vec![("msgbatch_old", "in_progress", "2026-11-23T01:00:00Z")],
            Found::Nothing,
        ),
        (
            vec![("msgbatch_2", "in_progress", just_now)],
            Found::Unclear,
        ),
        (
            vec![
                ("msgbatch_2", "in_progress", just_now),
                ("msgbatch_3", "ended", just_now),
            ],
            Found::Batch("msgbatch_3".to_owned()),
        ),
        (vec![("msgbatch_4", "ended", just_now)], Found::Nothing),
    ] {
        server.reset().await;
        gets(&server, BATCHES, list(&batches)).await;
        let of = |id: Uuid| results(&[json!({ "custom_id": id, "result": { "type": "expired" } })]);
        gets(&server, "/v1/messages/batches/msgbatch_3/results", of(item)).await;
        gets(
            &server,
            "/v1/messages/batches/msgbatch_4/results",
            of(Uuid::now_v7()),
        )
        .await;
        assert_eq!(
            api.find(lost, now()).await.unwrap(),
            expected,
            "{batches:?}"
        );
    }
}

#[tokio::test]
async fn refusal_of_a_batch_has_the_class_of_a_request() {
    let (server, client) = server().await;
    let api = client.batches().unwrap().api;
    for (status, class) in [(401, "auth"), (400, "bad_request"), (529, "transient")] {
        server.reset().await;
        Mock::given(method("POST"))
            .respond_with(refuses(status))
            .mount(&server)
            .await;
        let error = api.create(Uuid::now_v7(), &[], now()).await.unwrap_err();
        assert_eq!(error.class(), class);
    }
}

/// The requests that a server got, without those that ask for the state.
async fn acts(server: &MockServer) -> Vec<String> {
    let all = server.received_requests().await.unwrap();
    let all = all.iter().filter(|request| request.method != "GET");
    all.map(|request| format!("{} {}", request.method, request.url.path()))
        .collect()
}

#[tokio::test]
async fn ended_batch_is_deleted_and_another_is_cancelled_first() {
    let (server, client) = server().await;
    let api = client.batches().unwrap().api;
    let at = "/v1/messages/batches/msgbatch_1";
    for (status, acted, erased) in [
        ("in_progress", format!("POST {at}/cancel"), Erased::NotYet),
        ("ended", format!("DELETE {at}"), Erased::Completely),
    ] {
        server.reset().await;
        let state = json!({ "id": "msgbatch_1", "processing_status": status });
        gets(&server, at, json_body(&state)).await;
        Mock::given(path(at))
            .respond_with(json_body(&json!({})))
            .mount(&server)
            .await;
        Mock::given(path(format!("{at}/cancel")))
            .respond_with(json_body(&json!({})))
            .mount(&server)
            .await;
        assert_eq!(api.erase("msgbatch_1", now()).await.unwrap(), erased);
        assert_eq!(acts(&server).await, [acted]);
    }
    server.reset().await;
    let gone = api.erase("msgbatch_1", now()).await.unwrap();
    assert_eq!(gone, Erased::Completely, "one that is there no more");
}
