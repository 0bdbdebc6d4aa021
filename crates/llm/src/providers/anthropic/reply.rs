//! Reads a message of Anthropic's API: [`read`]. Skips thoughts.

use crate::{
    completion::{FinishReason, TokenUsage},
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
    providers::reading::{self, Received},
};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Message {
    model: Option<String>,
    #[serde(default, deserialize_with = "reading::or_default")]
    content: Vec<Block>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    #[serde(default, deserialize_with = "reading::or_default")]
    text: String,
    #[serde(default, deserialize_with = "reading::or_default")]
    name: String,
    #[serde(default)]
    input: Value,
}

/// `input_tokens` excludes the tokens of the cache.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

/// Reads the answer from a successful response; `limit` is the limit on output tokens that was sent.
///
/// # Errors
/// Anything but a complete answer. Puts its cost into `info` even then.
pub(super) fn read(
    body: &[u8],
    headers: &HeaderMap,
    request: &AttemptRequest<'_>,
    limit: u32,
    info: &mut AttemptInfo,
) -> Result<Reply, LlmError> {
    let message: Message = reading::parse::<_, Usage>(body, headers, request, Some("usage"), info)?;
    let usage = info.usage.unwrap_or_default();
    let is_ours = |block: &&Block| block.r#type == "tool_use" && block.name == request.schema.name;
    let called = message.content.iter().find(is_ours);
    let finish = match message.stop_reason.as_deref() {
        None => FinishReason::Unstated,
        Some("end_turn" | "stop_sequence") => FinishReason::Stop,
        Some("tool_use") if called.is_some() => FinishReason::Stop,
        Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
        Some("refusal") => FinishReason::Refusal,
        Some(_) => FinishReason::Other,
    };
    let text = match called {
        Some(block) => block.input.to_string(),
        None => message
            .content
            .iter()
            .filter(|block| block.r#type == "text")
            .map(|block| block.text.as_str())
            .collect(),
    };
    let answer = Received {
        text,
        model: message.model,
        finish: Some(finish),
    };
    answer.into_reply(usage, limit, info)
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let read = usage.cache_read_input_tokens.unwrap_or_default();
        let written = usage.cache_creation_input_tokens.unwrap_or_default();
        Self {
            input: usage
                .input_tokens
                .unwrap_or_default()
                .saturating_add(read)
                .saturating_add(written),
            output: usage.output_tokens.unwrap_or_default(),
            cache_read: read,
            cache_write: written,
            // Thoughts are billed as output and not reported apart.
            reasoning: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nulls_are_read_as_nothing() {
        for body in [
            json!({"content": null, "usage": null}),
            json!({"content": [{"type": "text", "text": null, "name": null}]}),
        ] {
            assert!(
                serde_json::from_value::<Message>(body.clone()).is_ok(),
                "{body}"
            );
        }
    }
}
