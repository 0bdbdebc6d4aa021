//! What reading a successful response has in common for all providers: [`parse`] and [`Received::into_reply`].
//!
//! Status 200 is not yet an answer: servers send 200 with prose, an error, no choices or half an answer. Each case has its
//! own error. Never quotes the body.

use crate::{
    classify,
    completion::{FinishReason, TokenUsage},
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
    tier::ServiceTier,
};
use reqwest::header::HeaderMap;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// Maximum length of a model name, because it is logged and stored.
const MODEL_NAME: usize = 128;

/// An answer as a provider sent it, complete or not.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) text: String,
    pub(super) model: Option<String>,
    pub(super) finish: Option<FinishReason>,
}

/// Parses a response with status 200 into the provider's type, of which `U` is the usage, in this field or, without one, beside
/// the answer.
///
/// # Errors
/// If the body is an error, no JSON, or of another shape. Puts the cost of an answer of another shape into `info`.
pub(super) fn parse<T: DeserializeOwned, U: DeserializeOwned + Into<TokenUsage>>(
    body: &[u8],
    headers: &HeaderMap,
    request: &AttemptRequest<'_>,
    usage: Option<&str>,
    info: &mut AttemptInfo,
) -> Result<T, LlmError> {
    let body: Value = serde_json::from_slice(body).map_err(|_| invalid("not JSON"))?;
    if let Some(error) = classify::error_in_success(&body, headers, request.clock.now()) {
        return Err(error);
    }
    let usage = usage.map_or(&body, |field| &body[field]);
    info.usage = U::deserialize(usage).ok().map(Into::into);
    serde_json::from_value(body).map_err(|_| invalid("an unknown form"))
}

pub(super) const fn invalid(what: &'static str) -> LlmError {
    LlmError::InvalidReply { what }
}

/// Returns the tier that OpenAI names in its answer; a server that names none has ignored what was asked for.
pub(super) fn served_tier(word: Option<&str>) -> ServiceTier {
    match word {
        Some("flex") => ServiceTier::Flex,
        Some(_) | None => ServiceTier::Standard,
    }
}

/// Reads a field that servers send as null when they have nothing to put there.
///
/// # Errors
/// If it is neither null nor of its type.
pub(super) fn or_default<'de, D, T>(field: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(field).map(Option::unwrap_or_default)
}

/// Returns all billed output tokens. Grok and some gateways count thoughts in the total only.
pub(super) fn all_output(input: u64, output: u64, total: Option<u64>) -> u64 {
    output.max(total.unwrap_or_default().saturating_sub(input))
}

impl Received {
    /// Returns the answer if it is complete. Puts its cost into `info` even if it is not.
    ///
    /// # Errors
    /// If the model stopped for another reason than its end, or said nothing.
    pub(super) fn into_reply(
        self,
        usage: TokenUsage,
        limit: u32,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        let finish = self.finish.unwrap_or(FinishReason::Unstated);
        (info.usage, info.finish) = (Some(usage), Some(finish));
        match finish {
            FinishReason::Stop | FinishReason::Unstated => {}
            FinishReason::Length => {
                return Err(LlmError::Truncated {
                    max_output_tokens: limit,
                });
            }
            FinishReason::ContentFilter | FinishReason::Refusal => {
                return Err(LlmError::Refused {
                    reason: finish.as_str(),
                });
            }
            FinishReason::Other => return Err(invalid("an unknown finish reason")),
        }
        // JSON has no such character, and Postgres stores none.
        let text = self.text.replace('\0', "");
        if text.trim().is_empty() {
            return Err(invalid("no text"));
        }
        let model = self.model.filter(|name| is_plain(name));
        Ok(Reply {
            text,
            model: model.unwrap_or_else(|| "unknown".to_owned()),
            usage,
            finish,
        })
    }
}

/// Returns whether the text is a model name that is safe to log.
fn is_plain(name: &str) -> bool {
    (1..=MODEL_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_of_a_server_is_not_in_the_text() {
        let received = Received {
            text: "\0{\"a\":\0 1}".to_owned(),
            ..Received::default()
        };
        let reply = received.into_reply(TokenUsage::default(), 10, &mut AttemptInfo::default());
        assert_eq!(reply.unwrap().text, r#"{"a": 1}"#);
    }

    #[test]
    fn output_counts_what_only_the_total_has() {
        assert_eq!(all_output(100, 20, Some(420)), 320);
        assert_eq!(all_output(100, 20, Some(120)), 20);
        assert_eq!(all_output(100, 20, Some(7)), 20);
        assert_eq!(all_output(100, 20, None), 20);
    }
}
