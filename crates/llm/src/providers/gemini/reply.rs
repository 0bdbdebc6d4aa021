//! Reads a response of the Gemini API: [`read`]. Skips thoughts.

use crate::{
    completion::{FinishReason, TokenUsage},
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
    providers::reading::{self, Received},
};
use reqwest::header::HeaderMap;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default, deserialize_with = "reading::or_default")]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<PromptFeedback>,
    model_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default, deserialize_with = "reading::or_default")]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Part {
    #[serde(deserialize_with = "reading::or_default")]
    text: String,
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<String>,
}

/// `promptTokenCount` includes cached tokens; thoughts are output beside `candidatesTokenCount`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Usage {
    prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
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
        reading::parse::<_, Usage>(body, headers, request, Some("usageMetadata"), info)?;
    let usage = info.usage.unwrap_or_default();
    let Some(candidate) = response.candidates.into_iter().next() else {
        // A blocked prompt has status 200 and no candidate.
        let blocked = response
            .prompt_feedback
            .is_some_and(|feedback| feedback.block_reason.is_some());
        return Err(if blocked {
            info.finish = Some(FinishReason::ContentFilter);
            LlmError::Refused {
                reason: FinishReason::ContentFilter.as_str(),
            }
        } else {
            reading::invalid("no candidates")
        });
    };
    let parts = candidate.content.map(|content| content.parts);
    let answer = Received {
        text: parts
            .unwrap_or_default()
            .into_iter()
            .filter(|part| !part.thought)
            .map(|part| part.text)
            .collect(),
        model: response.model_version,
        finish: Some(finish_reason(candidate.finish_reason.as_deref())),
    };
    answer.into_reply(usage, limit, info)
}

fn finish_reason(word: Option<&str>) -> FinishReason {
    match word {
        None | Some("" | "FINISH_REASON_UNSPECIFIED") => FinishReason::Unstated,
        Some("STOP") => FinishReason::Stop,
        Some("MAX_TOKENS") => FinishReason::Length,
        Some(
            "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE",
        ) => FinishReason::ContentFilter,
        Some(_) => FinishReason::Other,
    }
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let reasoning = usage.thoughts_token_count.unwrap_or_default();
        let output = usage.candidates_token_count.unwrap_or_default();
        Self {
            input: usage.prompt_token_count.unwrap_or_default(),
            output: output.saturating_add(reasoning),
            cache_read: usage.cached_content_token_count.unwrap_or_default(),
            cache_write: 0,
            reasoning,
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
            json!({"candidates": null, "usageMetadata": null}),
            json!({"candidates": [{"content": {"parts": null}}]}),
            json!({"candidates": [{"content": {"parts": [{"text": null}]}}]}),
        ] {
            assert!(
                serde_json::from_value::<Response>(body.clone()).is_ok(),
                "{body}"
            );
        }
    }
}
