//! What a model answered: [`Completion`], kept as it is in a checkpoint, and what it cost.
//!
//! Does not judge the answer: whether the text fits its task's schema is the task's own check.

use super::LlmError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{fmt, time::Duration};

/// A complete answer. Truncated, filtered and refused ones are errors instead and never become a `Completion`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    pub text: String,
    pub usage: TokenUsage,
    /// The model that answered, as the provider names it; may be more precise than the one asked for.
    pub model: String,
    pub finish: FinishReason,
    /// Requests sent, the failed ones included.
    pub tries: u32,
    /// From the first request to the answer, waits between tries included.
    pub duration: Duration,
    pub prompt_bytes: u64,
    /// Size of the whole answer on the wire, not only of its text.
    pub response_bytes: u64,
}

/// What a call cost, whatever became of it: failed tries and useless answers are billed too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Of all tries, as far as the provider told.
    pub usage: TokenUsage,
    pub tries: u32,
    pub duration: Duration,
    pub prompt_bytes: u64,
    /// Of all tries.
    pub response_bytes: u64,
}

/// Tokens of one request. `input` includes those read from or written to a cache, `output` includes reasoning.
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
    /// It had said everything.
    Stop,
    /// The server gave no reason, as some compatible servers do.
    Unstated,
    /// The limit on output tokens cut it off.
    Length,
    /// The provider's filter cut it off.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// It wanted to call a tool, although it was given none, or something newer than this client.
    Other,
}

/// Why an answer cannot be used for its task; a label value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidReason {
    /// Not JSON at all.
    Json,
    /// JSON of another shape than the schema's.
    Schema,
    /// A value outside its closed set: a rule or an action that does not exist.
    Enum,
    /// A recipient that is not of the thread.
    Recipient,
    Truncated,
    Refused,
}

impl Completion {
    /// The text read as `T`. A Markdown fence around the whole text is taken off: models add one although none was asked
    /// for, and a proxy may have dropped the schema on the way.
    ///
    /// # Errors
    /// [`LlmError::InvalidOutput`] without any of the text: a parser's message quotes what it stumbled over.
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

/// The inside of one Markdown fence, if the whole text is one.
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
    /// Input and output together.
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

impl InvalidReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Schema => "schema",
            Self::Enum => "enum",
            Self::Recipient => "recipient",
            Self::Truncated => "truncated",
            Self::Refused => "refused",
        }
    }
}

/// Everything but the text, which quotes the mail it is about.
impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("usage", &self.usage)
            .field("model", &self.model)
            .field("finish", &self.finish)
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
    fn an_answer_is_read_with_and_without_a_fence() {
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
    fn prose_and_a_wrong_shape_are_told_apart_and_not_quoted() {
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
    fn debug_does_not_show_the_text() {
        let shown = format!("{:?}", completion("hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_checkpoint_gives_the_same_completion_back() {
        let before = completion("{}");
        let stored = serde_json::to_value(&before).unwrap();
        assert_eq!(
            serde_json::from_value::<Completion>(stored).unwrap(),
            before
        );
    }
}
