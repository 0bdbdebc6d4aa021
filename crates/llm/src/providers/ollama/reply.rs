//! Reads a response of Ollama's API: [`read`]. Skips thoughts.

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
    message: Option<Message>,
    done_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: String,
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
    // It stands beside the answer.
    let response: Response = reading::parse::<_, Usage>(body, headers, request, None, info)?;
    let usage = info.usage.unwrap_or_default();
    let message = response.message.ok_or(reading::invalid("no message"))?;
    let finish = match response.done_reason.as_deref() {
        None | Some("") => FinishReason::Unstated,
        Some("stop") => FinishReason::Stop,
        Some("length") => FinishReason::Length,
        Some(_) => FinishReason::Other,
    };
    let answer = Received {
        text: message.content,
        model: response.model,
        finish: Some(finish),
    };
    answer.into_reply(usage, limit, info)
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        Self {
            // A prompt that the server still has in memory is not counted.
            input: usage.prompt_eval_count.unwrap_or_default(),
            output: usage.eval_count.unwrap_or_default(),
            ..Self::default()
        }
    }
}
