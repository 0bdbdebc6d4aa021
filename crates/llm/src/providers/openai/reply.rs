//! Reads the body of a chat completion: [`read`]. Takes text, and the call of the function that carries the schema.

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
struct Completion {
    #[serde(default, deserialize_with = "reading::or_default")]
    choices: Vec<Choice>,
    model: Option<String>,
    service_tier: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Content>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    arguments: Arguments,
}

/// JSON as text, or the object itself, which some servers send instead.
#[derive(Deserialize)]
#[serde(untagged)]
enum Arguments {
    Text(String),
    Object(Value),
}

impl Arguments {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Object(value) => value.to_string(),
        }
    }
}

/// Text, or the list of parts that some servers send instead.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Deserialize)]
struct ContentPart {
    #[serde(default, deserialize_with = "reading::or_default")]
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

/// Reads the answer from a successful response; `limit` is the limit on output tokens that was sent.
///
/// # Errors
/// Anything but a complete answer. Puts its cost into `info` even then.
pub(crate) fn read(
    body: &[u8],
    headers: &HeaderMap,
    request: &AttemptRequest<'_>,
    limit: u32,
    info: &mut AttemptInfo,
) -> Result<Reply, LlmError> {
    let completion: Completion =
        reading::parse::<_, Usage>(body, headers, request, Some("usage"), info)?;
    info.tier = reading::served_tier(completion.service_tier.as_deref());
    let usage = info.usage.unwrap_or_default();
    let choice = completion.choices.into_iter().next();
    let choice = choice.ok_or(reading::invalid("no choices"))?;
    let message = choice.message.ok_or(reading::invalid("no message"))?;
    let called = message
        .tool_calls
        .unwrap_or_default()
        .into_iter()
        .find_map(|call| call.function.filter(|it| it.name == request.schema.name));
    let refused = message.refusal.is_some_and(|words| !words.is_empty());
    let finish = match choice.finish_reason.as_deref() {
        _ if refused => FinishReason::Refusal,
        Some("tool_calls" | "tool_use" | "function_call") if called.is_some() => FinishReason::Stop,
        word => finish_reason(word),
    };
    let text = match (called, message.content) {
        (Some(function), _) => function.arguments.into_text(),
        (None, Some(Content::Text(text))) => text,
        (None, Some(Content::Parts(parts))) => parts.into_iter().map(|part| part.text).collect(),
        (None, None) => String::new(),
    };
    let answer = Received {
        text,
        model: completion.model,
        finish: Some(finish),
    };
    answer.into_reply(usage, limit, info)
}

fn finish_reason(word: Option<&str>) -> FinishReason {
    match word {
        None | Some("") => FinishReason::Unstated,
        // Local servers name what ended the text: a stop word or the end-of-sequence token.
        Some("stop" | "eos" | "eos_token" | "stop_sequence" | "end_turn") => FinishReason::Stop,
        Some("length" | "max_tokens") => FinishReason::Length,
        Some("content_filter") => FinishReason::ContentFilter,
        Some("refusal") => FinishReason::Refusal,
        Some(_) => FinishReason::Other,
    }
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let prompt = usage.prompt_tokens_details.unwrap_or_default();
        let completion = usage.completion_tokens_details.unwrap_or_default();
        let input = usage.prompt_tokens.unwrap_or_default();
        let output = usage.completion_tokens.unwrap_or_default();
        Self {
            input,
            output: reading::all_output(input, output, usage.total_tokens),
            cache_read: prompt.cached_tokens.unwrap_or_default(),
            cache_write: prompt.cache_write_tokens.unwrap_or_default(),
            reasoning: completion.reasoning_tokens.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
