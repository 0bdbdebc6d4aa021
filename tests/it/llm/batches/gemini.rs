//! What Gemini's batches are sent, and how their answers are read.

use super::*;

const MAKE: &str = "/v1beta/models/fake-1:batchGenerateContent";
const LIST: &str = "/v1beta/batches";
const ONE: &str = "/v1beta/batches/made-1";

async fn server() -> (MockServer, ProviderClient) {
    let server = MockServer::start().await;
    let base = server.uri().parse().unwrap();
    let target = Target::new(base, "fake-1", KEY);
    let client = Provider::Gemini.client(target).unwrap();
    (server, client)
}

fn operation(id: &str, name: &str, state: &str) -> Value {
    let name =
        json!({ "displayName": name, "state": state, "createTime": "2026-11-23T02:00:01.5Z" });
    json!({ "name": format!("batches/{id}"), "metadata": name })
}

fn ended(answers: &[Value]) -> Value {
    let mut operation = operation("made-1", "n", "BATCH_STATE_SUCCEEDED");
    operation["done"] = json!(true);
    operation["response"] = json!({ "inlinedResponses": { "inlinedResponses": answers } });
    operation
}

#[tokio::test]
async fn gemini_batch_is_made_with_its_requests_and_its_name() {
    let (server, client) = server().await;
    let name = Uuid::now_v7();
    let request = json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hello" }] }] });
    let item = BatchItem {
        id: Uuid::now_v7(),
        body: request.clone(),
    };
    let wanted = json!({ "batch": {
        "displayName": name,
        "inputConfig": { "requests": { "requests": [
            { "request": request, "metadata": { "key": item.id } },
        ] } },
    } });
    Mock::given(method("POST"))
        .and(path(MAKE))
        .and(header("x-goog-api-key", KEY))
        .and(header("content-type", "application/json"))
        .and(body_json(&wanted))
        .respond_with(json_body(&operation(
            "made-1",
            &name.to_string(),
            "BATCH_STATE_PENDING",
        )))
        .mount(&server)
        .await;
    let api = client.batches().unwrap().api;
    assert_eq!(api.create(name, &[item], now()).await.unwrap(), "made-1");
    let sent = server.received_requests().await.unwrap();
    assert_eq!(sent[0].url.query(), None, "the key is in no address");
}

#[tokio::test]
async fn gemini_batch_has_ended_in_every_final_state_and_in_no_other() {
    let (server, client) = server().await;
    let api = client.batches().unwrap().api;
    for (word, expected) in [
        ("PENDING", false),
        ("RUNNING", false),
        ("SUCCEEDED", true),
        ("FAILED", true),
        ("CANCELLED", true),
        ("EXPIRED", true),
    ] {
        for prefix in ["BATCH_STATE", "JOB_STATE"] {
            server.reset().await;
            let state = operation("made-1", "n", &format!("{prefix}_{word}"));
            gets(&server, ONE, json_body(&state)).await;
            assert_eq!(
                api.has_ended("made-1", now()).await.unwrap(),
                expected,
                "{word}"
            );
        }
    }
    server.reset().await;
    gets(
        &server,
        ONE,
        json_body(&json!({ "name": "batches/made-1" })),
    )
    .await;
    let error = api.has_ended("made-1", now()).await.unwrap_err();
    assert_eq!(error.class(), "invalid_reply");
}

#[tokio::test]
async fn gemini_answers_are_told_from_errors_and_from_what_was_not_done() {
    let (server, client) = server().await;
    let ids: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    let answer = json!({
        "modelVersion": "fake-1-0711",
        "candidates": [{ "content": { "parts": [{ "text": "{}" }] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 400, "cachedContentTokenCount": 300, "candidatesTokenCount": 40 },
    });
    let failed = |code: u8| json!({ "code": code, "message": "no" });
    let answers = [
        // Not in the order of the requests: the keys count.
        json!({ "metadata": { "key": ids[1] }, "error": failed(8) }),
        json!({ "metadata": { "key": ids[0] }, "response": answer }),
        json!({ "metadata": { "key": ids[2] }, "error": failed(3) }),
        json!({ "metadata": { "key": ids[3] }, "error": failed(1) }),
        json!({ "metadata": { "key": "somebody-else's" }, "response": answer }),
        json!({ "response": answer }),
        json!({ "metadata": { "key": ids[4] } }),
    ];
    gets(&server, ONE, json_body(&ended(&answers))).await;
    let batches = client.batches().unwrap();
    let outcomes = batches.api.outcomes("made-1", now()).await.unwrap();
    let of = |id: Uuid| &outcomes.iter().find(|it| it.id == id).unwrap().end;
    assert_eq!(outcomes.len(), 5);
    let BatchEnd::Answered(answered) = of(ids[0]) else {
        panic!("{outcomes:?}");
    };
    let class = |id: Uuid| match of(id) {
        BatchEnd::Failed(error) => error.class(),
        BatchEnd::Answered(_) => "answered",
        BatchEnd::NotDone => "not done",
    };
    let classes = ids[1..].iter().map(|id| class(*id));
    let expected = ["rate_limited", "bad_request", "not done", "not done"];
    assert_eq!(classes.collect::<Vec<_>>(), expected);

    let metrics = LlmMetrics::register(&Registry::new()).unwrap();
    let answered = answered.clone();
    let model = Model::new(client, metrics, Clock::fixed(now()), QUICK);
    let cancelled = CancellationToken::new();
    let call = call(Instant::now(), &cancelled);
    let (completion, usage) = model.read_batched(&answered, batched(&call));
    let completion = completion.unwrap();
    assert_eq!(
        (completion.text.as_str(), completion.tier),
        ("{}", ServiceTier::Batch)
    );
    assert_eq!(
        (usage.input, usage.cache_read, usage.output),
        (400, 300, 40)
    );
}

#[tokio::test]
async fn gemini_batch_that_failed_or_expired_has_no_answers() {
    let (server, client) = server().await;
    let api = client.batches().unwrap().api;
    let mut failed = operation("made-1", "n", "BATCH_STATE_FAILED");
    failed["done"] = json!(true);
    failed["error"] = json!({ "code": 13, "message": "Internal error." });
    for state in [failed, operation("made-1", "n", "BATCH_STATE_EXPIRED")] {
        server.reset().await;
        gets(&server, ONE, json_body(&state)).await;
        assert!(api.has_ended("made-1", now()).await.unwrap());
        assert!(api.outcomes("made-1", now()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn lost_batch_of_gemini_is_recognised_by_its_name_on_any_page() {
    let (server, client) = server().await;
    let api = client.batches().unwrap().api;
    let name = Uuid::now_v7();
    let lost = LostBatch {
        name,
        items: &[],
        since: now(),
        known: &[],
    };
    let ours = operation("made-7", &name.to_string(), "BATCH_STATE_RUNNING");
    let others = operation("made-1", "somebody's", "BATCH_STATE_RUNNING");
    for (first, second, expected) in [
        (json!({}), None, Found::Nothing),
        (
            json!({ "operations": [others, ours] }),
            None,
            Found::Batch("made-7".to_owned()),
        ),
        (
            json!({ "operations": [others], "nextPageToken": "p2" }),
            Some(json!({ "operations": [ours] })),
            Found::Batch("made-7".to_owned()),
        ),
        (
            json!({ "operations": [others], "nextPageToken": "p2" }),
            Some(json!({ "operations": [others], "nextPageToken": "p2" })),
            Found::Unclear,
        ),
    ] {
        server.reset().await;
        if let Some(second) = second {
            Mock::given(method("GET"))
                .and(path(LIST))
                .and(query_param("pageToken", "p2"))
                .respond_with(json_body(&second))
                .mount(&server)
                .await;
        }
        gets(&server, LIST, json_body(&first)).await;
        assert_eq!(api.find(lost, now()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn refusal_of_a_batch_by_gemini_has_the_class_of_a_request() {
    let (server, client) = server().await;
    let api = client.batches().unwrap().api;
    for (status, class) in [(403, "auth"), (400, "bad_request"), (503, "transient")] {
        server.reset().await;
        Mock::given(method("POST"))
            .respond_with(refuses(status))
            .mount(&server)
            .await;
        let error = api.create(Uuid::now_v7(), &[], now()).await.unwrap_err();
        assert_eq!(error.class(), class);
    }
}

#[tokio::test]
async fn batch_of_gemini_is_deleted_when_it_has_ended_and_cancelled_before() {
    let (server, client) = server().await;
    let api = client.batches().unwrap().api;
    let cancel = format!("{ONE}:cancel");
    for (state, acted, erased) in [
        ("RUNNING", format!("POST {cancel}"), Erased::NotYet),
        ("SUCCEEDED", format!("DELETE {ONE}"), Erased::Completely),
    ] {
        server.reset().await;
        let state = operation("made-1", "n", &format!("BATCH_STATE_{state}"));
        gets(&server, ONE, json_body(&state)).await;
        for at in [ONE, &cancel] {
            let mock = Mock::given(path(at)).respond_with(json_body(&json!({})));
            mock.mount(&server).await;
        }
        assert_eq!(api.erase("made-1", now()).await.unwrap(), erased);
        assert_eq!(acts(&server).await, [acted]);
    }
}
