//! Reads which parameter a server refused: [`without_refused`].
//!
//! Servers name it in `param`, in the message, or in the location of a validation error. A wrong guess costs a feature, so
//! only errors that blame the request are read, and nothing is guessed from an error that names no parameter.

use super::{Capabilities, LimitName, OutputMode};
use serde_json::Value;

/// Longer messages echo the request, whose words must not be mistaken for the server's.
const MESSAGE: usize = 600;

/// Words of servers that do not know a parameter, as opposed to a value out of range.
const UNKNOWN: &[&str] = &[
    "unsupported",
    "not support",
    "unrecognized",
    "unknown",
    "unexpected",
    "not permitted",
    "not allowed",
    "extra",
    "instead",
];

/// Returns the capabilities without what the server refused; none if the error names nothing to leave out.
pub(super) fn without_refused(
    sent: Capabilities,
    status: u16,
    body: &[u8],
) -> Option<Capabilities> {
    // llama.cpp answers 500 when a chat template rejects the roles.
    if !matches!(status, 400 | 422 | 500 | 501) {
        return None;
    }
    let text = blame(&serde_json::from_slice(body).ok()?);
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let unknown = says(UNKNOWN);
    match sent.limit {
        LimitName::MaxTokens if unknown && says(&["max_tokens"]) => {
            return Some(Capabilities {
                limit: LimitName::Settled("max_completion_tokens"),
                ..sent
            });
        }
        LimitName::MaxCompletionTokens if unknown && says(&["max_completion_tokens"]) => {
            return Some(Capabilities {
                limit: LimitName::Settled("max_tokens"),
                ..sent
            });
        }
        LimitName::MaxTokens | LimitName::MaxCompletionTokens | LimitName::Settled(_) => {}
    }
    if sent.temperature && says(&["temperature"]) {
        return Some(Capabilities {
            temperature: false,
            ..sent
        });
    }
    if sent.seed && says(&["seed"]) {
        return Some(Capabilities {
            seed: false,
            ..sent
        });
    }
    if sent.reasoning && says(&["reasoning", "thinking", "effort"]) {
        return Some(Capabilities {
            reasoning: false,
            ..sent
        });
    }
    if sent.flex
        && says(&[
            "service_tier",
            "service tier",
            "flex processing",
            "flex is not",
        ])
    {
        return Some(Capabilities {
            flex: false,
            ..sent
        });
    }
    // Before the system role: templates say "roles must alternate user/assistant/…" and name the system in passing.
    if sent.separate_messages && says(&["alternate", "consecutive"]) {
        return Some(Capabilities {
            separate_messages: false,
            ..sent
        });
    }
    let system = [
        "system role",
        "system message",
        "system instruction",
        "system prompt",
        "developer instruction",
        "only user and assistant roles",
        "role: system",
        "'system'",
    ];
    if sent.system && says(&system) {
        return Some(Capabilities {
            system: false,
            ..sent
        });
    }
    refuses_output(sent.output, &text).then(|| lower_output(sent))?
}

/// Returns whether the server has no room for a cheap request at the moment, and would take a standard one.
pub(super) fn has_no_room(status: u16, body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let text = blame(&body);
    status == 429
        && ["resource_unavailable", "resource unavailable"]
            .iter()
            .any(|words| text.contains(words))
}

fn refuses_output(mode: OutputMode, text: &str) -> bool {
    let words: &[&str] = match mode {
        OutputMode::JsonSchema => &[
            "schema",
            "response_format",
            "output_config",
            "structured output",
            "text.format",
            "invalid format",
        ],
        OutputMode::Tool => &["tool", "function"],
        OutputMode::JsonObject => &[
            "json_object",
            "json mode",
            "response_format",
            "text.format",
            "mime",
            "invalid format",
        ],
        OutputMode::Text => &[],
    };
    words.iter().any(|word| text.contains(word))
}

/// Takes the next way below the current one that the protocol has.
fn lower_output(sent: Capabilities) -> Option<Capabilities> {
    let (next, rest) = sent.fallbacks.split_first()?;
    Some(Capabilities {
        output: *next,
        fallbacks: rest,
        ..sent
    })
}

/// Collects, in lower case, the places where servers name what they refuse.
fn blame(body: &Value) -> String {
    let body = match body {
        Value::Array(list) => list.first().unwrap_or(body),
        _ => body,
    };
    let error = body.get("error").filter(|error| !error.is_null());
    let error = error.unwrap_or(body);
    let mut parts: Vec<String> = Vec::new();
    parts.extend(error.as_str().map(str::to_owned));
    for field in ["param", "message", "code", "detail"] {
        parts.extend(error.get(field).and_then(Value::as_str).map(str::to_owned));
    }
    // FastAPI: {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}
    let detail = error.get("detail").and_then(Value::as_array);
    for fault in detail.into_iter().flatten().take(5) {
        let location = fault.get("loc").and_then(Value::as_array);
        for step in location.into_iter().flatten().take(5) {
            parts.extend(step.as_str().map(str::to_owned));
        }
        parts.extend(fault.get("msg").and_then(Value::as_str).map(str::to_owned));
    }
    parts
        .iter()
        .map(|part| {
            part.chars()
                .take(MESSAGE)
                .collect::<String>()
                .to_lowercase()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LADDER: &[OutputMode] = &[OutputMode::Tool, OutputMode::JsonObject, OutputMode::Text];
    const FULL: Capabilities = Capabilities::full(LimitName::MaxTokens, LADDER);

    fn after(sent: Capabilities, status: u16, body: &Value) -> Option<Capabilities> {
        without_refused(sent, status, body.to_string().as_bytes())
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
                    reasoning: false,
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
        assert_eq!(
            without_refused(FULL, 400, b"<html>temperature</html>"),
            None
        );
        let echo = format!("{}temperature", "x".repeat(MESSAGE));
        assert_eq!(after(FULL, 400, &json!({"error": {"message": echo}})), None);
    }
}
