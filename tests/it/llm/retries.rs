//! What is asked again, when, and for how long.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;

fn limited(header: &str, wait: &str) -> ResponseTemplate {
    refuses(429).insert_header(header, wait)
}

#[tokio::test]
async fn limit_is_waited_out_for_at_least_the_time_asked_wherever_it_is_said() {
    for (header, wait) in [
        ("retry-after-ms", "150"),
        ("retry-after", "0.15"),
        ("llm_provider-retry-after", "0.15"),
        ("llm_provider-retry-after-ms", "150"),
    ] {
        let asked = TestCall::script([limited(header, wait), says("{}")]).await;
        let completion = asked.complete().await.unwrap();
        assert_eq!(completion.tries, 2);
        assert!(
            completion.duration >= Duration::from_millis(150),
            "{header}"
        );
        let retries =
            r#"postroom_llm_retries_total{model="fake-1",provider="openai",reason="rate_limited"}"#;
        assert_eq!(asked.metric(retries), Some(1.0));
        let waits = r#"postroom_llm_retry_after_seconds_sum{provider="openai"}"#;
        assert_eq!(asked.metric(waits), Some(0.15));
    }
}

#[tokio::test]
async fn passing_failure_is_tried_again() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        let asked = TestCall::script([refuses(status), says("{}")]).await;
        assert_eq!(asked.complete().await.unwrap().tries, 2, "{status}");
        assert_eq!(asked.tries().await, 2);
    }
}

#[tokio::test]
async fn refusal_for_good_is_not_tried_again() {
    for status in [400, 401, 402, 403, 404, 413, 422] {
        let asked = TestCall::script([refuses(status), says("{}")]).await;
        let error = asked.refused().await;
        assert!(!error.is_transient(), "{status}: {error}");
        assert_eq!(asked.tries().await, 1, "{status}");
    }
}

#[tokio::test]
async fn spent_quota_is_not_tried_again_and_names_a_moment() {
    let spent = ResponseTemplate::new(429)
        .insert_header("retry-after", "1")
        .set_body_json(json!({ "error": { "message": "m", "type": "insufficient_quota", "code": "insufficient_quota" } }));
    let asked = TestCall::script([spent, says("{}")]).await;
    let error = asked.refused().await;
    assert_eq!(error.class(), "quota_exhausted");
    // Whatever short delay the reply names: nothing is renewed within a second.
    assert_eq!(error.retry_at(), Some(now() + chrono::Duration::hours(1)));
    assert_eq!(asked.tries().await, 1);
}

#[tokio::test]
async fn server_may_ask_for_a_repeat_or_forbid_it() {
    let yes = refuses(400).insert_header("x-should-retry", "true");
    let asked = TestCall::script([yes, says("{}")]).await;
    assert_eq!(asked.complete().await.unwrap().tries, 2);
    let no = refuses(500).insert_header("x-should-retry", "false");
    let asked = TestCall::script([no, says("{}")]).await;
    assert_eq!(asked.refused().await.class(), "do_not_retry");
    assert_eq!(asked.tries().await, 1);
}

#[tokio::test]
async fn tries_are_counted_and_end() {
    let asked = TestCall::script([refuses(503)]).await;
    let error = asked.refused().await;
    assert!(matches!(error, LlmError::Transient { status: 503, .. }));
    assert_eq!(asked.tries().await, 3);
    let attempts = r#"postroom_llm_attempts_total{model="fake-1",outcome="transient",provider="openai",task="triage"}"#;
    assert_eq!(asked.metric(attempts), Some(3.0));
    let calls = r#"postroom_llm_requests_total{model="fake-1",outcome="transient",provider="openai",task="triage"}"#;
    assert_eq!(asked.metric(calls), Some(1.0));
    let retries =
        r#"postroom_llm_retries_total{model="fake-1",provider="openai",reason="transient"}"#;
    assert_eq!(asked.metric(retries), Some(2.0));
}

#[tokio::test]
async fn wait_that_does_not_fit_before_the_deadline_is_left_to_the_queue() {
    let asked = TestCall::script([limited("retry-after", "200")]).await;
    let started = Instant::now();
    let error = asked.refused().await;
    assert!(matches!(error, LlmError::RateLimited { .. }), "{error}");
    assert_eq!(
        error.retry_at(),
        Some(now() + chrono::Duration::seconds(200))
    );
    assert_eq!(asked.tries().await, 1);
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn slow_answer_is_given_up_and_asked_for_again() {
    let asked = TestCall::with(RetryConfig {
        attempt_timeout: Duration::from_millis(300),
        ..QUICK
    })
    .await;
    let slow = says("{}").set_delay(Duration::from_secs(60));
    asked.replies([slow, says("{}")]).await;
    assert_eq!(asked.complete().await.unwrap().tries, 2);
    let timeouts = r#"postroom_llm_attempts_total{model="fake-1",outcome="timeout",provider="openai",task="triage"}"#;
    assert_eq!(asked.metric(timeouts), Some(1.0));
}

#[tokio::test]
async fn no_attempt_begins_that_could_not_end_before_the_deadline() {
    let mut asked = TestCall::with(RetryConfig {
        attempt_timeout: Duration::from_millis(300),
        ..QUICK
    })
    .await;
    asked.time = Duration::from_millis(400);
    asked
        .replies([says("{}").set_delay(Duration::from_secs(60))])
        .await;
    let started = Instant::now();
    let error = asked.refused().await;
    assert!(matches!(error, LlmError::Timeout { .. }), "{error}");
    assert!(error.is_transient());
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(asked.tries().await, 1, "the second would end after it");
    assert_eq!(
        asked.metric(r#"postroom_llm_inflight{provider="openai"}"#),
        Some(0.0)
    );
}

#[tokio::test]
async fn deadline_ends_an_attempt_that_has_time_left() {
    let mut asked = TestCall::script([says("{}").set_delay(Duration::from_secs(60))]).await;
    asked.time = Duration::from_millis(300);
    let started = Instant::now();
    let error = asked.refused().await;
    assert!(matches!(error, LlmError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < QUICK.attempt_timeout);
}

#[tokio::test]
async fn refused_connection_is_tried_again_and_does_not_name_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (model, _) = model_at(&format!("http://{address}/v1"), QUICK);
    let cancelled = CancellationToken::new();
    let asked = call(Instant::now() + Duration::from_secs(60), &cancelled);
    let error = model.complete(&asked).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, LlmError::Connect { .. }), "{error}");
    assert!(error.is_transient());
    assert!(std::error::Error::source(&error).is_some());
    assert!(
        !format!("{error:?}").contains("chat/completions"),
        "{error:?}"
    );
}

#[tokio::test]
async fn connection_that_breaks_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = accepted.clone();
    let server = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            connection.readable().await.unwrap();
            drop(connection);
        }
    });
    let (model, _) = model_at(&format!("http://{address}/v1"), QUICK);
    let cancelled = CancellationToken::new();
    let asked = call(Instant::now() + Duration::from_secs(60), &cancelled);
    let error = model.complete(&asked).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, LlmError::Connect { .. }), "{error}");
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
    server.abort();
}

#[tokio::test]
async fn job_that_is_given_up_gives_up_its_call() {
    let asked = TestCall::with(RetryConfig {
        attempt_timeout: Duration::from_secs(50),
        ..QUICK
    })
    .await;
    asked
        .replies([says("{}").set_delay(Duration::from_secs(60))])
        .await;
    let started = Instant::now();
    let given_up = async {
        crate::support::eventually(crate::support::wait::SOON, async || {
            match asked.tries().await {
                0 => Err("the server was not asked yet".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        asked.cancelled.cancel();
    };
    let (error, ()) = tokio::join!(asked.refused(), given_up);
    assert!(matches!(error, LlmError::Cancelled), "{error}");
    assert!(started.elapsed() < Duration::from_secs(40));
    assert_eq!(
        asked.metric(r#"postroom_llm_inflight{provider="openai"}"#),
        Some(0.0)
    );
}
