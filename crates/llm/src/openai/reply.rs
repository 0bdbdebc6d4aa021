//! Reads the body of a chat completion: [`read`].
//!
//! A success on the wire is not yet an answer: servers answer 200 with prose, with an error, with no choices, with half an
//! answer. Each becomes an error of its own. The body is never quoted.

use crate::{
    LlmError, classify,
    completion::{FinishReason, TokenUsage},
    provider::{AttemptRequest, Reply, Seen},
};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

/// Names of models are logged and stored; a longer one is none.
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

/// The answer in the body of a success. What it cost is in `seen` even if it is no use.
pub(crate) fn read(
    body: &[u8],
    headers: &HeaderMap,
    request: &AttemptRequest<'_>,
    seen: &mut Seen,
) -> Result<Reply, LlmError> {
    let invalid = |what| LlmError::InvalidReply { what };
    let body: Value = serde_json::from_slice(body).map_err(|_| invalid("not JSON"))?;
    if let Some(error) = classify::error_in_success(&body, headers, request.clock.now()) {
        return Err(error);
    }
    let completion = Completion::deserialize(body).map_err(|_| invalid("not a chat completion"))?;
    let usage = completion.usage.unwrap_or_default().into();
    seen.usage = Some(usage);
    let choice = completion.choices.into_iter().next();
    let choice = choice.ok_or_else(|| invalid("no choices"))?;
    let message = choice.message.ok_or_else(|| invalid("no message"))?;
    let refused = message.refusal.is_some_and(|words| !words.is_empty());
    let finish = if refused {
        FinishReason::Refusal
    } else {
        finish_reason(choice.finish_reason.as_deref())
    };
    seen.finish = Some(finish);
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
        // Local servers say what ended the text: a stop word, or the end-of-sequence token.
        Some("stop" | "eos" | "eos_token" | "stop_sequence" | "end_turn") => FinishReason::Stop,
        Some("length" | "max_tokens") => FinishReason::Length,
        Some("content_filter") => FinishReason::ContentFilter,
        Some("refusal") => FinishReason::Refusal,
        Some(_) => FinishReason::Other,
    }
}

/// A name, and not something that must not stand in a log.
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
