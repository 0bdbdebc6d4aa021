//! Reads the body of a chat completion: [`read`].
//!
//! Status 200 is not yet an answer: servers send 200 with prose, an error, no choices or half an answer. Each case has its
//! own error. Never quotes the body.

use crate::{
    classify,
    completion::{FinishReason, TokenUsage},
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

/// Maximum length of a model name, because it is logged and stored.
const MODEL_NAME: usize = 128;

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    choices: Vec<Choice>,
    model: Option<String>,
    usage: Option<Usage>,
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
    #[serde(default)]
    text: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
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

/// Reads the answer from a successful response. Puts its cost into `info` even if the answer is unusable.
pub(crate) fn read(
    body: &[u8],
    headers: &HeaderMap,
    request: &AttemptRequest<'_>,
    info: &mut AttemptInfo,
) -> Result<Reply, LlmError> {
    let invalid = |what| LlmError::InvalidReply { what };
    let body: Value = serde_json::from_slice(body).map_err(|_| invalid("not JSON"))?;
    if let Some(error) = classify::error_in_success(&body, headers, request.clock.now()) {
        return Err(error);
    }
    let completion = Completion::deserialize(body).map_err(|_| invalid("not a chat completion"))?;
    let usage = completion.usage.unwrap_or_default().into();
    info.usage = Some(usage);
    let choice = completion.choices.into_iter().next();
    let choice = choice.ok_or_else(|| invalid("no choices"))?;
    let message = choice.message.ok_or_else(|| invalid("no message"))?;
    let refused = message.refusal.is_some_and(|words| !words.is_empty());
    let finish = if refused {
        FinishReason::Refusal
    } else {
        finish_reason(choice.finish_reason.as_deref())
    };
    info.finish = Some(finish);
    match finish {
        FinishReason::Stop | FinishReason::Unstated => {}
        FinishReason::Length => {
            return Err(LlmError::Truncated {
                max_output_tokens: request.max_output_tokens,
            });
        }
        FinishReason::ContentFilter | FinishReason::Refusal => {
            return Err(LlmError::Refused {
                reason: finish.as_str(),
            });
        }
        FinishReason::Other => return Err(invalid("an unknown finish reason")),
    }
    let text = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
        None => String::new(),
    };
    if text.trim().is_empty() {
        return Err(invalid("no text"));
    }
    let model = completion.model.filter(|name| is_plain(name));
    Ok(Reply {
        text,
        model: model.unwrap_or_else(|| "unknown".to_owned()),
        usage,
        finish,
    })
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

/// Returns whether the text is a model name that is safe to log.
fn is_plain(name: &str) -> bool {
    (1..=MODEL_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/@".contains(&byte))
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let prompt = usage.prompt_tokens_details.unwrap_or_default();
        let completion = usage.completion_tokens_details.unwrap_or_default();
        Self {
            input: usage.prompt_tokens.unwrap_or_default(),
            output: usage.completion_tokens.unwrap_or_default(),
            cache_read: prompt.cached_tokens.unwrap_or_default(),
            cache_write: prompt.cache_write_tokens.unwrap_or_default(),
            reasoning: completion.reasoning_tokens.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
