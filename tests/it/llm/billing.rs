//! What a request without a usable answer costs: what the provider says, else possibly all that it may cost, else nothing.

use super::{providers::providers, *};
use async_trait::async_trait;
use llm::{
    RequestLedger, TokenUsage,
    ledger::{FailedRequest, Intent},
};
use std::sync::Mutex;
use tokio::net::TcpListener;

/// Notes what is known of each request that failed.
#[derive(Default)]
struct Costs(Mutex<Vec<(Option<u64>, bool)>>);

#[async_trait]
impl RequestLedger for Costs {
    async fn admit(&self, _: &Intent<'_>) -> Result<(), LlmError> {
        Ok(())
    }

    async fn failed(&self, failed: &FailedRequest<'_>) {
        let known = failed.usage.as_ref().map(TokenUsage::total);
        let cost = (known.filter(|tokens| *tokens > 0), failed.may_be_billed());
        self.0.lock().unwrap().push(cost);
    }
}

/// What is known of the only request of a call.
async fn cost_of(model: &Model) -> (Option<u64>, bool) {
    let costs = Costs::default();
    let cancelled = CancellationToken::new();
    let call = call(Instant::now() + Duration::from_secs(60), &cancelled);
    let (result, _) = model.complete_recorded(&call, &costs).await;
    result.map(|_| ()).expect_err("the call must fail");
    let costs = costs.0.into_inner().unwrap();
    assert_eq!(costs.len(), 1);
    costs[0]
}

const ONCE: RetryConfig = RetryConfig {
    max_tries: 1,
    ..QUICK
};

#[tokio::test]
async fn request_without_an_answer_may_be_billed_once_it_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        connection.readable().await.unwrap();
    });
    let (model, _) = model_at(&address, ONCE);
    assert_eq!(cost_of(&model).await, (None, true), "the connection broke");
    server.await.unwrap();
    let (model, _) = model_at(&address, ONCE);
    assert_eq!(cost_of(&model).await, (None, false), "nobody listens");
}

#[tokio::test]
async fn unusable_answer_costs_what_it_says_or_may_be_billed() {
    let html = || ResponseTemplate::new(200).set_body_string("<html>Welcome</html>");
    let json = |body: Value| ResponseTemplate::new(200).set_body_json(body);
    let usage = json!({ "prompt_tokens": 400, "completion_tokens": 40 });
    for (reply, cost) in [
        (html(), (None, true)),
        (json(json!({ "choices": [] })), (None, true)),
        (
            json(json!({ "choices": [], "usage": usage })),
            (Some(440), false),
        ),
        (json(json!({ "error": { "message": "no" } })), (None, false)),
        (refuses(503), (None, false)),
        (refuses(400), (None, false)),
    ] {
        let mut asked = TestCall::with(ONCE).await;
        asked.replies([reply]).await;
        let address = format!("{}/v1/", asked.server.uri());
        (asked.model, asked.registry) = model_at(&address, ONCE);
        assert_eq!(cost_of(&asked.model).await, cost);
    }
}

#[tokio::test]
async fn answer_of_an_unknown_form_costs_what_it_says_with_every_provider() {
    for provider in providers() {
        let mut answer = provider.answer.clone();
        for field in ["choices", "output", "content", "candidates", "message"] {
            if !answer[field].is_null() {
                answer[field] = json!(7);
            }
        }
        let server = MockServer::start().await;
        let mock = Mock::given(method("POST"));
        mock.respond_with(ResponseTemplate::new(200).set_body_json(&answer))
            .mount(&server)
            .await;
        let metrics = LlmMetrics::register(&Registry::new()).unwrap();
        let client = provider.client(&server.uri());
        let model = Model::new(client, metrics, Clock::fixed(now()), ONCE);
        assert_eq!(
            cost_of(&model).await,
            (Some(440), false),
            "{}",
            provider.path
        );
    }
}
