//! Cheaper requests: what is asked for, when an ordinary request takes its place, and as what an answer counts.

use super::{
    providers::{Provider, behind, ok, providers},
    *,
};

/// Sends one cheap call; returns what came of it and the tiers that the server was asked for.
async fn cheap(
    provider: &Provider,
    replies: Vec<ResponseTemplate>,
) -> (Result<Completion, LlmError>, Vec<Value>) {
    let (server, model) = behind(provider, replies).await;
    let cancelled = CancellationToken::new();
    let flex = || Call {
        tier: ServiceTier::Flex,
        ..call(Instant::now() + Duration::from_secs(60), &cancelled)
    };
    let answer = model.complete(&flex()).await;
    let requests = server.received_requests().await.expect("they are recorded");
    let tier = |request: &Request| request.body_json::<Value>().unwrap()["service_tier"].clone();
    (answer, requests.iter().map(tier).collect())
}

/// The answer of a server that says as what it served it.
fn served(provider: &Provider, tier: &str) -> ResponseTemplate {
    let mut answer = provider.answer.clone();
    answer["service_tier"] = json!(tier);
    ok(&answer)
}

fn refused(status: u16, code: &str, message: &str, param: Option<&str>) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(
        json!({ "error": { "message": message, "type": "x", "code": code, "param": param } }),
    )
}

/// The two of OpenAI.
fn with_flex() -> impl Iterator<Item = Provider> {
    let all = providers().into_iter();
    all.filter(|provider| provider.name == "openai")
}

#[tokio::test]
async fn cheap_call_asks_openai_for_flex_and_counts_as_what_it_was_served() {
    for provider in with_flex() {
        for (answer, tier) in [
            (served(&provider, "flex"), ServiceTier::Flex),
            (served(&provider, "default"), ServiceTier::Standard),
            // A compatible server that ignores the field bills what it always does.
            (ok(&provider.answer), ServiceTier::Standard),
        ] {
            let (completion, asked) = cheap(&provider, vec![answer]).await;
            assert_eq!(completion.unwrap().tier, tier, "{}", provider.path);
            assert_eq!(asked, [json!("flex")], "{}", provider.path);
        }
    }
}

#[tokio::test]
async fn call_without_room_for_flex_is_answered_by_an_ordinary_request_at_once() {
    for provider in with_flex() {
        let full = || refused(429, "resource_unavailable", "Resource unavailable", None);
        let (completion, asked) = cheap(&provider, vec![full(), ok(&provider.answer)]).await;
        assert_eq!(completion.unwrap().tier, ServiceTier::Standard);
        assert_eq!(asked, [json!("flex"), Value::Null], "{}", provider.path);
    }
}

#[tokio::test]
async fn model_without_flex_is_asked_for_it_once() {
    for provider in with_flex() {
        let lacks = || {
            let message = "Flex is not available for this model.";
            refused(400, "unsupported_value", message, Some("service_tier"))
        };
        let (server, model) = behind(&provider, vec![lacks(), ok(&provider.answer)]).await;
        let cancelled = CancellationToken::new();
        for _ in 0..2 {
            let flex = Call {
                tier: ServiceTier::Flex,
                ..call(Instant::now() + Duration::from_secs(60), &cancelled)
            };
            model.complete(&flex).await.unwrap();
        }
        let requests = server.received_requests().await.unwrap();
        let asked = requests.iter().map(|request| {
            let body: Value = request.body_json().unwrap();
            body["service_tier"] == "flex"
        });
        assert_eq!(asked.collect::<Vec<_>>(), [true, false, false]);
    }
}

#[tokio::test]
async fn request_after_a_failed_cheap_one_is_an_ordinary_one() {
    for provider in with_flex() {
        for failure in [500, 429] {
            let fails = refused(failure, "x", "no", None);
            let (completion, asked) = cheap(&provider, vec![fails, ok(&provider.answer)]).await;
            assert_eq!(completion.unwrap().tries, 2);
            assert_eq!(asked, [json!("flex"), Value::Null], "{}", provider.path);
        }
    }
}

#[tokio::test]
async fn providers_without_a_cheaper_tier_get_ordinary_requests() {
    for provider in providers().iter().filter(|it| it.name != "openai") {
        let (completion, asked) = cheap(provider, vec![ok(&provider.answer)]).await;
        assert_eq!(completion.unwrap().tier, ServiceTier::Standard);
        assert_eq!(asked, [Value::Null], "{}", provider.path);
    }
}

#[tokio::test]
async fn cheap_call_that_is_refused_for_good_is_not_asked_again() {
    for provider in with_flex() {
        for (status, code) in [
            (400, "invalid_prompt"),
            (401, "invalid_api_key"),
            (403, "unsupported_country_region_territory"),
            (404, "model_not_found"),
            (429, "insufficient_quota"),
        ] {
            let refuses = refused(status, code, "No.", None);
            let (answer, asked) = cheap(&provider, vec![refuses, ok(&provider.answer)]).await;
            assert!(answer.is_err(), "{status}");
            assert_eq!(asked, [json!("flex")], "{status} {}", provider.path);
        }
    }
}
