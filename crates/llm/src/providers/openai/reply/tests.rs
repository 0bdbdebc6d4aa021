//! Responses of providers and compatible servers, and how they are read.

use super::*;
use crate::{prompt::Prompt, prompt_file::tests::JUDGE, tier::ServiceTier};
use base::clock::Clock;
use serde_json::json;
use uuid::Uuid;

fn read_value(body: &Value) -> (Result<Reply, LlmError>, AttemptInfo) {
    read_bytes(body.to_string().as_bytes())
}

fn read_bytes(body: &[u8]) -> (Result<Reply, LlmError>, AttemptInfo) {
    let mut info = AttemptInfo::default();
    let request = AttemptRequest {
        task: "summary",
        prompt: &Prompt::new("test.v1"),
        messages: &[],
        schema: &JUDGE.schema(),
        max_output_tokens: 700,
        tier: ServiceTier::Standard,
        client_request_id: Uuid::nil(),
        clock: &Clock::System,
    };
    let result = read(body, &HeaderMap::new(), &request, 700, &mut info);
    (result, info)
}

fn answer(content: Value, finish_reason: Value) -> Value {
    json!({
        "id": "chatcmpl-1",
        "model": "gpt-4.1-mini-2025-04-14",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content, "refusal": null},
            "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980,
            "prompt_tokens_details": {"cached_tokens": 512, "cache_write_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 30}},
    })
}

#[test]
fn complete_answer_is_read_with_its_cost() {
    let (reply, info) = read_value(&answer(json!("{}"), json!("stop")));
    let reply = reply.unwrap_or_else(|error| panic!("{error}"));
    let usage = TokenUsage {
        input: 900,
        output: 80,
        cache_read: 512,
        cache_write: 7,
        reasoning: 30,
    };
    assert_eq!((reply.text.as_str(), reply.usage), ("{}", usage));
    assert_eq!(reply.model, "gpt-4.1-mini-2025-04-14");
    assert_eq!(
        (info.usage, info.finish),
        (Some(usage), Some(FinishReason::Stop))
    );
}

#[test]
fn sparse_response_is_understood() {
    let bare = json!({"choices": [{"message": {"content": [{"type": "text", "text": "{"}, {"text": "}"}]}}]});
    let (reply, _) = read_value(&bare);
    let reply = reply.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (reply.text.as_str(), reply.finish),
        ("{}", FinishReason::Unstated)
    );
    assert_eq!(reply.usage, TokenUsage::default());
    assert_eq!(reply.model, "unknown");
}

#[test]
fn answer_of_nulls_has_its_cost() {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 20});
    let (result, info) = read_value(&json!({"choices": null, "usage": usage}));
    assert!(matches!(result, Err(LlmError::InvalidReply { .. })));
    assert_eq!(info.usage.unwrap_or_default().total(), 120);
    let part = json!({"choices": [{"message": {"content": [{"text": null}, {"text": "{}"}]}}]});
    assert_eq!(
        read_value(&part).0.map(|reply| reply.text).ok().as_deref(),
        Some("{}")
    );
}

#[test]
fn thoughts_that_only_the_total_counts_are_output() {
    let mut answer = answer(json!("{}"), json!("stop"));
    answer["usage"]["total_tokens"] = json!(1280);
    let (_, info) = read_value(&answer);
    assert_eq!(info.usage.unwrap_or_default().output, 380);
}

#[test]
fn truncated_and_refused_answers_are_errors_with_a_cost() {
    let mut refusal = answer(Value::Null, json!("stop"));
    refusal["choices"][0]["message"]["refusal"] = json!("I cannot help with hunter2");
    for (body, class) in [
        (answer(json!("{}"), json!("length")), "truncated"),
        (answer(json!("{}"), json!("content_filter")), "refused"),
        (refusal, "refused"),
        (answer(json!("{}"), json!("tool_calls")), "invalid_reply"),
    ] {
        let (result, info) = read_value(&body);
        let error = result.map(|_| ()).unwrap_err();
        assert_eq!(error.class(), class);
        assert_eq!(info.usage.map(|usage| usage.input), Some(900));
        assert!(!format!("{error}{error:?}").contains("hunter2"));
    }
}

#[test]
fn success_without_an_answer_is_an_invalid_reply() {
    for (body, what) in [
        (&b"<html>hunter2</html>"[..], "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "an unknown form"),
        (b"\"hunter2\"", "an unknown form"),
        (b"{\"choices\":\"hunter2\"}", "an unknown form"),
        (b"{}", "no choices"),
        (b"{\"choices\":[]}", "no choices"),
        (b"{\"choices\":[{}]}", "no message"),
        (
            b"{\"choices\":[{\"message\":{\"content\":null}}]}",
            "no text",
        ),
        (
            b"{\"choices\":[{\"message\":{\"content\":\" \"},\"finish_reason\":\"stop\"}]}",
            "no text",
        ),
    ] {
        let error = read_bytes(body).0.map(|_| ()).unwrap_err();
        let LlmError::InvalidReply { what: found } = error else {
            panic!("{error}");
        };
        assert_eq!(found, what);
    }
}

#[test]
fn call_of_the_function_that_carries_the_schema_is_the_answer() {
    for arguments in [
        json!("{\"category\":\"task\"}"),
        json!({"category": "task"}),
    ] {
        for finish in ["tool_calls", "stop"] {
            let call = |name: &str| json!({"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}});
            let mut body = answer(Value::Null, json!(finish));
            body["choices"][0]["message"]["tool_calls"] = json!([call("other"), call("judge_v1")]);
            let (reply, info) = read_value(&body);
            assert_eq!(
                reply.unwrap_or_else(|error| panic!("{error}")).text,
                "{\"category\":\"task\"}"
            );
            assert_eq!(info.finish, Some(FinishReason::Stop));
            body["choices"][0]["message"]["tool_calls"] = json!([call("other")]);
            assert!(read_value(&body).0.is_err());
        }
    }
}

#[test]
fn error_with_status_200_is_classified_by_its_code() {
    for (error, class) in [
        (json!("model runner has crashed"), "transient"),
        (json!({"message": "boom"}), "transient"),
        (json!({"message": "slow down", "code": 429}), "rate_limited"),
        (
            json!({"message": "slow down", "code": "429"}),
            "rate_limited",
        ),
        (
            json!({"message": "slow down", "code": "rate_limit_exceeded"}),
            "rate_limited",
        ),
        (
            json!({"message": "no money", "type": "insufficient_quota"}),
            "quota_exhausted",
        ),
        (
            json!({"message": "who are you", "code": "invalid_api_key"}),
            "auth",
        ),
        (json!({"message": "who are you", "code": 401}), "auth"),
        (
            json!({"message": "what", "type": "invalid_request_error"}),
            "bad_request",
        ),
        (json!({"message": "odd", "code": 7}), "transient"),
    ] {
        let (result, _) = read_value(&json!({"error": error}));
        assert_eq!(result.map(|_| ()).unwrap_err().class(), class, "{error}");
    }
    let mut fine = answer(json!("{}"), json!("stop"));
    fine["error"] = Value::Null;
    assert!(read_value(&fine).0.is_ok());
}

#[test]
fn unsafe_model_name_is_not_kept() {
    let mut body = answer(json!("{}"), json!("stop"));
    body["model"] = json!("dear user, your key is hunter2");
    let (reply, _) = read_value(&body);
    assert_eq!(
        reply.map(|reply| reply.model).unwrap_or_default(),
        "unknown"
    );
}
