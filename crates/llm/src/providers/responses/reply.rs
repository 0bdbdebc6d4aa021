//! Reads a response of OpenAI's responses API: [`read`]. Skips reasoning.

use crate::{
    completion::{FinishReason, TokenUsage},
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
    providers::reading::{self, Received},
};
use reqwest::header::HeaderMap;
use serde::Deserialize;

#[derive(Deserialize)]
struct Response {
    model: Option<String>,
    service_tier: Option<String>,
    status: Option<String>,
    incomplete_details: Option<Incomplete>,
    #[serde(default, deserialize_with = "reading::or_default")]
    output: Vec<Item>,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    r#type: String,
    #[serde(default, deserialize_with = "reading::or_default")]
    content: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
    #[serde(default, deserialize_with = "reading::or_default")]
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
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
    let response: Response =
        reading::parse::<_, Usage>(body, headers, request, Some("usage"), info)?;
    info.tier = reading::served_tier(response.service_tier.as_deref());
    let usage = info.usage.unwrap_or_default();
    let parts = || {
        let messages = response
            .output
            .iter()
            .filter(|item| item.r#type == "message");
        messages.flat_map(|item| &item.content)
    };
    let why = response
        .incomplete_details
        .as_ref()
        .and_then(|details| details.reason.as_deref());
    let finish = match (response.status.as_deref(), why) {
        _ if parts().any(|part| part.r#type == "refusal") => FinishReason::Refusal,
        (Some("completed"), _) => FinishReason::Stop,
        (None, None) => FinishReason::Unstated,
        (_, Some("max_output_tokens")) => FinishReason::Length,
        (_, Some("content_filter")) => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    };
    let answer = Received {
        text: parts()
            .filter(|part| part.r#type == "output_text")
            .map(|part| part.text.as_str())
            .collect(),
        model: response.model,
        finish: Some(finish),
    };
    answer.into_reply(usage, limit, info)
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let input_details = usage.input_tokens_details.unwrap_or_default();
        let output_details = usage.output_tokens_details.unwrap_or_default();
        let input = usage.input_tokens.unwrap_or_default();
        let output = usage.output_tokens.unwrap_or_default();
        Self {
            input,
            output: reading::all_output(input, output, usage.total_tokens),
            cache_read: input_details.cached_tokens.unwrap_or_default(),
            cache_write: 0,
            reasoning: output_details.reasoning_tokens.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nulls_are_read_as_nothing() {
        let response: Response = serde_json::from_value(json!({"output": [
            {"type": "reasoning", "content": null},
            {"type": "message", "content": [{"type": "output_text", "text": null}]}]}))
        .unwrap();
        assert_eq!(response.output.len(), 2);
        let response: Response = serde_json::from_value(json!({"output": null})).unwrap();
        assert!(response.output.is_empty());
    }

    #[test]
    fn thoughts_that_only_the_total_counts_are_output() {
        let usage = json!({"input_tokens": 100, "output_tokens": 20, "total_tokens": 420});
        let usage: Usage = serde_json::from_value(usage).unwrap();
        assert_eq!(TokenUsage::from(usage).output, 320);
    }
}
