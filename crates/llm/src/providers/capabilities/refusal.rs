//! Reads which parameter a server refused: [`without_refused`].
//!
//! Servers name it in `param`, in the message, or in the location of a validation error. A wrong guess costs a feature, so
//! only errors that blame the request are read, and nothing is guessed from an error that names no parameter.

use super::{Capabilities, LimitName, OutputMode, Reasoning};
use crate::error::LlmError;
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
///
/// `error` is what the response means. One about this email or this answer names nothing that later requests have to do
/// without, whatever words it uses.
pub(super) fn without_refused(
    sent: Capabilities,
    error: &LlmError,
    status: u16,
    body: &[u8],
) -> Option<Capabilities> {
    let blames_request = matches!(
        error,
        LlmError::BadRequest { .. } | LlmError::Transient { .. } | LlmError::DoNotRetry { .. }
    );
    // llama.cpp answers 500 when a chat template rejects the roles.
    if !blames_request || !matches!(status, 400 | 422 | 500 | 501) {
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
    let refuses_reasoning = says(&["reasoning", "think", "effort"]);
    match sent.reasoning {
        // Ollama refuses the level, of a model that has reasoning, by this word.
        Reasoning::Effort if says(&["think value"]) => {
            return Some(Capabilities {
                reasoning: Reasoning::Switch,
                ..sent
            });
        }
        Reasoning::Effort | Reasoning::Switch if refuses_reasoning => {
            return Some(Capabilities {
                reasoning: Reasoning::Nothing,
                ..sent
            });
        }
        Reasoning::Effort | Reasoning::Switch | Reasoning::Nothing => {}
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
mod tests;
