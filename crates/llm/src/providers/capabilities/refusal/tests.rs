//! Refusals in the words of servers, and what is left out after each.

use super::*;
use crate::classify;
use chrono::DateTime;
use reqwest::header::HeaderMap;
use serde_json::json;

const LADDER: &[OutputMode] = &[OutputMode::Tool, OutputMode::JsonObject, OutputMode::Text];
const FULL: Capabilities = Capabilities::full(LimitName::MaxTokens, LADDER);

fn after(sent: Capabilities, status: u16, body: &Value) -> Option<Capabilities> {
    answered(sent, status, body.to_string().as_bytes())
}

fn answered(sent: Capabilities, status: u16, body: &[u8]) -> Option<Capabilities> {
    let error = classify::error_response(status, &HeaderMap::new(), body, DateTime::UNIX_EPOCH);
    without_refused(sent, &error, status, body)
}

#[test]
fn refused_parameter_is_left_out_or_replaced() {
    let openai =
        |message: &str| json!({"error": {"message": message, "type": "invalid_request_error"}});
    for (body, expected) in [
        (
            openai(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            ),
            Capabilities {
                limit: LimitName::Settled("max_completion_tokens"),
                ..FULL
            },
        ),
        (
            openai("Unsupported value: 'temperature' does not support 0 with this model."),
            Capabilities {
                temperature: false,
                ..FULL
            },
        ),
        (
            json!({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}),
            Capabilities {
                seed: false,
                ..FULL
            },
        ),
        (
            json!({"error": "\"llama3.1\" does not support thinking"}),
            Capabilities {
                reasoning: Reasoning::Nothing,
                ..FULL
            },
        ),
        (
            json!({"error": "think value \"low\" is not supported for this model"}),
            Capabilities {
                reasoning: Reasoning::Switch,
                ..FULL
            },
        ),
        (
            json!({"error": "invalid think value: \"minimal\" (must be \"high\", \"medium\", \"low\", true, or false)"}),
            Capabilities {
                reasoning: Reasoning::Switch,
                ..FULL
            },
        ),
        (
            openai("Conversation roles must alternate user/assistant/user/assistant/..."),
            Capabilities {
                separate_messages: false,
                ..FULL
            },
        ),
        (
            openai("System role not supported"),
            Capabilities {
                system: false,
                ..FULL
            },
        ),
        (
            json!([{"error": {"code": 400, "message": "Developer instruction is not enabled for models/gemma-3-27b-it"}}]),
            Capabilities {
                system: false,
                ..FULL
            },
        ),
        (
            openai("This response_format type is unavailable now"),
            Capabilities {
                output: OutputMode::Tool,
                fallbacks: &LADDER[1..],
                ..FULL
            },
        ),
        (
            json!({"object": "error", "message": "guided decoding with a json schema is not supported", "code": 400}),
            Capabilities {
                output: OutputMode::Tool,
                fallbacks: &LADDER[1..],
                ..FULL
            },
        ),
    ] {
        assert_eq!(after(FULL, 400, &body), Some(expected), "{body}");
    }
}

#[test]
fn tier_that_a_model_lacks_is_left_out_and_a_full_one_only_this_time() {
    let flex = FULL.with_flex();
    let lacks = json!({"error": {"message": "Flex is not available for this model.", "param": "service_tier"}});
    assert_eq!(after(flex, 400, &lacks), Some(FULL));
    assert_eq!(after(FULL, 400, &lacks), None);
    let room = |status, body: &Value| !has_no_room(status, body.to_string().as_bytes());
    for full in [
        json!({"error": {"message": "Resource Unavailable", "type": "x", "code": null}}),
        json!({"error": {"message": "Try later.", "code": "resource_unavailable"}}),
    ] {
        assert_eq!(after(flex, 429, &full), None);
        assert!(!room(429, &full), "{full}");
        assert!(room(503, &full), "only a limit");
    }
    assert!(room(
        429,
        &json!({"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}})
    ));
}

#[test]
fn output_is_stepped_down_to_text_and_no_further() {
    let refused =
        json!({"error": {"message": "tools, functions and response_format are not supported"}});
    let mut sent = FULL;
    for expected in LADDER {
        sent = after(sent, 422, &refused).unwrap();
        assert_eq!(sent.output, *expected);
    }
    assert_eq!(after(sent, 422, &refused), None);
}

#[test]
fn limit_is_replaced_once_and_a_value_out_of_range_is_no_refusal() {
    let too_large = json!({"error": {"message": "max_tokens is too large: 4000 > 2048"}});
    assert_eq!(after(FULL, 400, &too_large), None);
    let either = json!({"error": {"message": "unknown: max_tokens, max_completion_tokens"}});
    let newer = Capabilities {
        limit: LimitName::MaxCompletionTokens,
        ..FULL
    };
    let once = after(newer, 400, &either).unwrap();
    assert_eq!(once.limit, LimitName::Settled("max_tokens"));
    assert_eq!(after(once, 400, &either), None);
}

#[test]
fn error_that_names_nothing_and_other_statuses_change_nothing() {
    let vague = json!({"error": {"message": "Bad request", "param": null}});
    assert_eq!(after(FULL, 400, &vague), None);
    let named = json!({"error": {"message": "temperature is not supported"}});
    for status in [401, 403, 404, 408, 429, 502, 503] {
        assert_eq!(after(FULL, status, &named), None, "{status}");
    }
    assert_eq!(answered(FULL, 400, b"<html>temperature</html>"), None);
    let echo = format!("{}temperature", "x".repeat(MESSAGE));
    assert_eq!(after(FULL, 400, &json!({"error": {"message": echo}})), None);
}

#[test]
fn error_about_one_email_or_one_answer_teaches_nothing() {
    let tool = Capabilities {
        output: OutputMode::Tool,
        ..FULL
    };
    for (sent, code, message) in [
        (
            FULL,
            "invalid_prompt",
            "Your prompt was flagged as potentially violating our usage policy. See \
             https://platform.openai.com/docs/guides/reasoning#advice-on-prompting",
        ),
        (
            FULL,
            "json_validate_failed",
            "Failed to generate JSON for this schema.",
        ),
        (tool, "tool_use_failed", "Failed to call a function."),
        (
            FULL,
            "context_length_exceeded",
            "The schema and the messages are longer than the context.",
        ),
    ] {
        let body = json!({"error": {"message": message, "code": code}});
        assert_eq!(after(sent, 400, &body), None, "{code}");
    }
}
