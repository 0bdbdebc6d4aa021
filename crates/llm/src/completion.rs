//! A model's answer: [`Completion`], which callers can store as a checkpoint, and its cost.
//!
//! Does not judge the answer: the caller checks whether the text fits its task.

use crate::{
    error::{InvalidReason, LlmError},
    limits_left::LimitsLeft,
    tier::ServiceTier,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{fmt, time::Duration};

/// A complete answer. Truncated, filtered and refused ones are errors instead and never become a `Completion`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    pub text: String,
    pub usage: TokenUsage,
    /// The model that answered, as the provider names it; may be more precise than the requested name.
    pub model: String,
    pub finish: FinishReason,
    /// What the provider served.
    #[serde(default)]
    pub tier: ServiceTier,
    /// Requests sent, including failed ones.
    pub tries: u32,
    /// From the first request to the answer, including waits between requests.
    pub duration: Duration,
    pub prompt_bytes: u64,
    /// Size of the response body, not only of its text.
    pub response_bytes: u64,
}

/// The cost of a call, successful or not: providers bill failed requests and unusable answers too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallCost {
    /// Of all requests, as far as the provider reported it.
    pub usage: TokenUsage,
    pub tries: u32,
    pub duration: Duration,
    pub prompt_bytes: u64,
    /// Of all requests.
    pub response_bytes: u64,
    /// The id of the last request that was sent; nil if none was.
    pub last_request: uuid::Uuid,
    /// Of the last request alone, as far as the provider reported it.
    pub last_usage: TokenUsage,
    /// What the last request was served as.
    pub last_tier: ServiceTier,
    /// What the provider said in its last response is left of its limits.
    pub last_limits: LimitsLeft,
}

/// Tokens of one request. `input` includes tokens read from or written to a cache, `output` includes reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub reasoning: u64,
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The answer is complete.
    Stop,
    /// The server gave no reason; some compatible servers never do.
    Unstated,
    /// The limit on output tokens cut it off.
    Length,
    /// The provider's filter cut it off.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// The model called a tool that it was not given, or the reason is unknown to this client.
    Other,
}

impl Completion {
    /// Parses the text as `T`, after removing a Markdown fence around it.
    ///
    /// Models add a fence unasked, for example when a proxy dropped the schema from the request.
    ///
    /// # Errors
    /// [`LlmError::InvalidOutput`], without the parser's message, which quotes the text.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, LlmError> {
        serde_json::from_str(unfenced(&self.text)).map_err(|error| LlmError::InvalidOutput {
            reason: if error.is_data() {
                InvalidReason::Schema
            } else {
                InvalidReason::Json
            },
        })
    }
}

/// Returns the content of a Markdown fence that encloses the whole text, else the text.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"));
    match inside {
        Some(inside) => inside.strip_prefix("json").unwrap_or(inside).trim(),
        None => text,
    }
}

impl TokenUsage {
    /// Returns the sum of input and output.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

impl std::ops::AddAssign for TokenUsage {
    fn add_assign(&mut self, other: Self) {
        let Self {
            input,
            output,
            cache_read,
            cache_write,
            reasoning,
        } = self;
        for (sum, more) in [
            (input, other.input),
            (output, other.output),
            (cache_read, other.cache_read),
            (cache_write, other.cache_write),
            (reasoning, other.reasoning),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

impl FinishReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Unstated => "unstated",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::Refusal => "refusal",
            Self::Other => "other",
        }
    }
}

/// Omits the text, which may quote confidential input.
impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("usage", &self.usage)
            .field("model", &self.model)
            .field("finish", &self.finish)
            .field("tier", &self.tier)
            .field("tries", &self.tries)
            .field("duration", &self.duration)
            .field("prompt_bytes", &self.prompt_bytes)
            .field("response_bytes", &self.response_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(text: &str) -> Completion {
        Completion {
            text: text.to_owned(),
            usage: TokenUsage::default(),
            model: "m".to_owned(),
            finish: FinishReason::Stop,
            tier: ServiceTier::Standard,
            tries: 1,
            duration: Duration::from_millis(5),
            prompt_bytes: 1,
            response_bytes: 2,
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Verdict {
        spam: bool,
    }

    #[test]
    fn answer_is_parsed_with_and_without_a_fence() {
        for text in [
            r#"{"spam":true}"#,
            "```json\n{\"spam\":true}\n```",
            "  ```\n{\"spam\":true}```\n",
        ] {
            let read: Verdict = completion(text).json().unwrap();
            assert_eq!(read, Verdict { spam: true }, "{text}");
        }
    }

    #[test]
    fn prose_and_wrong_shapes_are_distinguished_and_not_quoted() {
        for (text, reason) in [
            ("Sure! The secret is hunter2", InvalidReason::Json),
            (r#"{"spam":"hunter2"}"#, InvalidReason::Schema),
            (r#"{"spam":"#, InvalidReason::Json),
            ("", InvalidReason::Json),
        ] {
            let error = completion(text).json::<Verdict>().unwrap_err();
            let LlmError::InvalidOutput { reason: found } = &error else {
                panic!("{error}");
            };
            assert_eq!(*found, reason);
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn debug_output_omits_the_text() {
        let shown = format!("{:?}", completion("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn completion_survives_a_checkpoint_unchanged() {
        let before = completion("{}");
        let stored = serde_json::to_value(&before).unwrap();
        assert_eq!(
            serde_json::from_value::<Completion>(stored).unwrap(),
            before
        );
    }
}
