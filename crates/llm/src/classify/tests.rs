//! Errors of providers and proxies, and their classes.

use super::*;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

fn now() -> DateTime<Utc> {
    "2026-11-23T02:00:00Z".parse().unwrap()
}

fn classified(status: u16, headers: &[(&'static str, &'static str)], body: &Value) -> LlmError {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_static(value);
            (HeaderName::from_static(name), value)
        })
        .collect();
    error_response(status, &headers, body.to_string().as_bytes(), now())
}

fn class(status: u16, headers: &[(&'static str, &'static str)], body: &Value) -> &'static str {
    classified(status, headers, body).class()
}

#[test]
fn each_status_has_its_class() {
    for (status, expected) in [
        (301, "bad_request"),
        (400, "bad_request"),
        (401, "auth"),
        (402, "quota_exhausted"),
        (403, "auth"),
        (404, "bad_request"),
        (408, "transient"),
        (409, "transient"),
        (413, "context_too_long"),
        (418, "bad_request"),
        (422, "bad_request"),
        (429, "rate_limited"),
        (500, "transient"),
        (502, "transient"),
        (503, "transient"),
        (504, "transient"),
        (529, "transient"),
    ] {
        assert_eq!(class(status, &[], &Value::Null), expected, "{status}");
        assert_eq!(
            class(status, &[], &json!("<html>")),
            expected,
            "{status} with a page"
        );
    }
}

#[test]
fn server_advice_overrides_the_status() {
    let yes = [("x-should-retry", "true")];
    let no = [("x-should-retry", "false")];
    for status in [400, 401, 404, 422, 500] {
        assert_eq!(class(status, &yes, &Value::Null), "transient", "{status}");
    }
    for status in [408, 409, 500, 529] {
        assert_eq!(class(status, &no, &Value::Null), "do_not_retry", "{status}");
    }
    assert_eq!(class(400, &no, &Value::Null), "bad_request");
    assert_eq!(class(429, &yes, &Value::Null), "rate_limited");
    assert_eq!(class(429, &no, &Value::Null), "quota_exhausted");
    assert_eq!(
        class(500, &[("x-should-retry", "perhaps")], &Value::Null),
        "transient"
    );
    let exhausted = json!({"error": {"code": "insufficient_quota"}});
    assert_eq!(class(429, &yes, &exhausted), "quota_exhausted");
}

#[test]
fn exhausted_quota_waits_until_it_is_renewed() {
    let gemini = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
         "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}]);
    for body in [
        json!({"error": {"message": "m", "type": "insufficient_quota", "code": "insufficient_quota"}}),
        json!({"error": {"message": "m", "type": "insufficient_quota", "code": null}}),
        json!({"error": {"message": "m", "code": "credit_balance_exhausted"}}),
        json!({"type": "error", "error": {"type": "enforced_spend_limit_reached"}}),
        gemini,
    ] {
        let error = classified(429, &[], &body);
        assert_eq!(error.class(), "quota_exhausted", "{body}");
        assert_eq!(error.retry_at(), Some(now() + QUOTA_DELAY));
        assert!(!error.is_transient());
        // A short delay is standard advice for rate limits; a long one says when the quota is renewed.
        let after = |seconds| classified(429, &[("retry-after", seconds)], &body).retry_at();
        assert_eq!(after("20"), Some(now() + QUOTA_DELAY));
        let renewed = now() + chrono::Duration::seconds(7200);
        assert_eq!(after("7200"), Some(renewed));
    }
}

#[test]
fn exhausted_quota_is_recognised_by_its_words_and_a_limit_per_minute_is_not_one() {
    let said = |message: &str| json!({"error": {"message": message, "code": "429"}});
    for (status, message) in [
        (
            429,
            "RateLimitError: OpenAIException - You exceeded your current quota, please check your plan",
        ),
        (429, "litellm.RateLimitError: insufficient_quota"),
        (
            400,
            "Your credit balance is too low to access the Anthropic API.",
        ),
    ] {
        assert_eq!(
            class(status, &[], &said(message)),
            "quota_exhausted",
            "{message}"
        );
    }
    let per_minute = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "message": "You exceeded your current quota, please check your plan and billing details.", "details": [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
         "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]}});
    let limited = classified(429, &[], &per_minute);
    assert_eq!(limited.class(), "rate_limited");
    assert_eq!(
        limited.retry_after().unwrap().delay,
        Duration::from_secs(34)
    );
}

#[test]
fn quota_that_gemini_names_in_a_plain_message_is_one_only_if_it_is_daily() {
    let said = |quota: &str| {
        let message = format!(
            "You exceeded your current quota, please check your plan and billing details. \
             * Quota exceeded for metric: {quota}, limit: 15 Please retry in 16.6s."
        );
        classified(
            429,
            &[],
            &json!({"error": {"message": message, "code": "429"}}),
        )
    };
    let limited = said("generativelanguage.googleapis.com/generate_content_free_tier_requests");
    assert_eq!(limited.class(), "rate_limited");
    let wait = limited.retry_after().unwrap().delay;
    assert_eq!(wait, Duration::from_millis(16_600));
    let daily = said("GenerateRequestsPerDayPerProjectPerModel-FreeTier");
    assert_eq!(daily.class(), "quota_exhausted");
}

#[test]
fn wrong_key_of_gemini_is_an_auth_error_though_its_status_is_400() {
    let body = json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid.", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}});
    assert_eq!(class(400, &[], &body), "auth");
}

#[test]
fn wait_named_beside_the_error_or_by_a_failing_server_is_kept() {
    let beside = json!({"error": {"message": "slow down"}, "retry_after": 7});
    let error = classified(429, &[], &beside);
    assert_eq!(error.retry_after().unwrap().delay, Duration::from_secs(7));
    let busy = json!({"error": {"message": "Overloaded. Try again in 30 seconds.", "type": "overloaded_error"}});
    let error = classified(529, &[], &busy);
    assert_eq!(
        (error.class(), error.retry_after().unwrap().delay.as_secs()),
        ("transient", 30)
    );
}

#[test]
fn long_rate_limit_counts_as_exhausted_quota_and_a_short_one_is_waited_for() {
    let limited = |seconds| classified(429, &[("retry-after", seconds)], &Value::Null);
    let (short, long) = (limited("300"), limited("301"));
    assert_eq!(short.class(), "rate_limited");
    assert_eq!(short.retry_after().unwrap().delay, Duration::from_secs(300));
    assert_eq!(long.class(), "quota_exhausted");
    assert_eq!(
        long.retry_at(),
        Some(now() + chrono::Duration::seconds(301))
    );
    let overloaded = classified(503, &[("retry-after", "900")], &Value::Null);
    assert_eq!(overloaded.class(), "transient");
    assert_eq!(
        overloaded.retry_at(),
        Some(now() + chrono::Duration::seconds(900))
    );
}

#[test]
fn too_long_prompt_is_recognised_by_code_and_by_phrase() {
    for body in [
        json!({"error": {"message": "m", "code": "context_length_exceeded"}}),
        json!({"error": {"message": "m", "type": "exceed_context_size_error", "code": 400}}),
        json!({"error": {"message": "This model's maximum context length is 8192 tokens"}}),
        json!({"error": "the prompt is larger than the context window"}),
        json!({"message": "Prompt is too long: 9 tokens"}),
    ] {
        assert_eq!(class(400, &[], &body), "context_too_long", "{body}");
    }
    let words = json!({"error": {"message": "lost the context window"}});
    assert_eq!(class(500, &[], &words), "transient");
}

#[test]
fn filter_error_is_a_refusal() {
    for code in [
        "content_filter",
        "content_policy_violation",
        "data_inspection_failed",
        "invalid_prompt",
    ] {
        let body = json!({"error": {"message": "m", "code": code, "status": 400}});
        assert_eq!(class(400, &[], &body), "refused", "{code}");
    }
    for message in [
        "Output blocked by content filtering policy",
        "litellm.BadRequestError: litellm.ContentPolicyViolationError: AzureException",
        "The response was filtered due to the prompt triggering our content management policy",
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
        "Content violates usage guidelines.",
        "This model requires moderation on this provider. Your input was flagged.",
        "Content Exists Risk",
    ] {
        let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
        for status in [400, 403] {
            assert_eq!(class(status, &[], &body), "refused", "{status} {message}");
        }
        assert_eq!(class(500, &[], &body), "transient", "{message}");
    }
}

#[test]
fn moderated_input_is_a_refusal_and_another_403_is_about_the_key() {
    let error =
        |metadata: Value| json!({"error": {"code": 403, "message": "no", "metadata": metadata}});
    for metadata in [
        json!({"reasons": ["violence"], "flagged_input": "…"}),
        json!({"reasons": ["violence"]}),
        json!({"flagged_input": "…"}),
    ] {
        assert_eq!(class(403, &[], &error(metadata)), "refused");
    }
    let provider = json!({"provider_name": "x", "reasons": null});
    assert_eq!(class(403, &[], &error(provider)), "auth");
}

#[test]
fn answer_that_the_server_could_not_use_is_an_invalid_output() {
    for (code, message) in [
        ("json_validate_failed", "Failed to generate JSON."),
        ("tool_use_failed", "Failed to call a function."),
    ] {
        let body =
            json!({"error": {"message": message, "type": "invalid_request_error", "code": code}});
        assert_eq!(class(400, &[], &body), "invalid_output");
    }
}

#[test]
fn messages_and_unknown_codes_are_not_kept() {
    let body = json!({"error": {"message": "Incorrect API key: hunter2", "type": "hunter2",
        "code": "hunter2", "param": "hunter2"}});
    for status in [400, 401, 402, 404, 413, 429, 500] {
        let error = classified(status, &[], &body);
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{status}"
        );
    }
    let known = json!({"error": {"code": "model_not_found"}});
    assert!(
        classified(404, &[], &known)
            .to_string()
            .contains("model_not_found")
    );
}

#[test]
fn odd_bodies_are_bad_requests() {
    for body in [
        json!([]),
        json!([[]]),
        json!({"error": null}),
        json!({"error": {"code": -3}}),
        json!({"error": {"code": 1e300, "details": "x"}}),
        json!({"error": {"details": [1, {"violations": 3}, {"violations": [{}]}]}}),
        json!({"detail": [{"loc": ["body"], "msg": "field required"}]}),
        json!(17),
    ] {
        assert_eq!(class(400, &[], &body), "bad_request", "{body}");
    }
}
