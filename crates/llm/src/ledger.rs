//! What asks before each request and hears how it ended: [`RequestLedger`].
//!
//! A program implements it to record requests before they are sent, to stop asking a provider that is unavailable, and to keep a
//! budget. [`Unrecorded`] admits everything. This crate stores nothing.

use crate::{
    completion::TokenUsage, error::LlmError, limits_left::LimitsLeft, prompt::OutputSchema,
    tier::ServiceTier,
};
use async_trait::async_trait;
use std::time::Duration;
use uuid::Uuid;

/// Tokens that a provider adds to each message, generously.
const TOKENS_PER_MESSAGE: u64 = 16;

/// Admits requests and records how they ended.
#[async_trait]
pub trait RequestLedger: Send + Sync {
    /// Records that the request is about to be sent.
    ///
    /// # Errors
    /// [`LlmError::NotAdmitted`] or [`LlmError::Ledger`]; then the request is not sent.
    async fn admit(&self, intent: &Intent<'_>) -> Result<(), LlmError>;

    /// Records a request that failed. A request that succeeded is recorded by the caller, together with its answer.
    async fn failed(&self, failed: &FailedRequest<'_>);
}

/// A request that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// The `x-client-request-id` of the request.
    pub id: Uuid,
    pub provider: &'a str,
    pub model: &'a str,
    pub task: &'static str,
    /// The number of the request within its call, from 1.
    pub number: u32,
    pub prompt_bytes: u64,
    /// The most input tokens that it can use.
    pub max_input_tokens: u64,
    pub max_output_tokens: u32,
    /// When its answer must be there.
    pub timeout: Duration,
}

/// A request that failed.
#[derive(Clone, Copy, Debug)]
pub struct FailedRequest<'a> {
    pub id: Uuid,
    pub provider: &'a str,
    pub model: &'a str,
    pub error: &'a LlmError,
    /// None if no response began.
    pub status: Option<u16>,
    /// Of an unusable answer, if the provider reported it.
    pub usage: Option<TokenUsage>,
    /// What was asked for or, if there is an answer, what the provider served.
    pub tier: ServiceTier,
    pub response_bytes: u64,
    pub limits: LimitsLeft,
    pub duration: Duration,
}

impl FailedRequest<'_> {
    /// Returns whether the provider may bill the request although its usage is not known.
    pub fn may_be_billed(&self) -> bool {
        // An answer that is of no use is billed like others, whether or not it says what it cost.
        let is_answered = self.status.is_some_and(|status| status / 100 == 2)
            && matches!(
                self.error,
                LlmError::InvalidReply { .. }
                    | LlmError::Truncated { .. }
                    | LlmError::Refused { .. }
            );
        let is_known = self.usage.is_some_and(|usage| usage.total() > 0);
        !is_known && (self.error.may_be_billed() || is_answered)
    }
}

/// Admits every request and records none.
pub struct Unrecorded;

#[async_trait]
impl RequestLedger for Unrecorded {
    async fn admit(&self, _: &Intent<'_>) -> Result<(), LlmError> {
        Ok(())
    }

    async fn failed(&self, _: &FailedRequest<'_>) {}
}

/// Returns the most tokens that the prompt can have: tokenizers work on bytes, so that no token is shorter than one.
pub(crate) fn max_input_tokens(prompt_bytes: u64, messages: usize, schema: &OutputSchema) -> u64 {
    let schema_bytes = schema.json().len() + schema.name.len();
    prompt_bytes
        .saturating_add(schema_bytes as u64)
        .saturating_add(messages as u64 * TOKENS_PER_MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_reserved_by_bytes_with_schema_and_messages() {
        let schema = OutputSchema::new("judge", &serde_json::json!({"type": "object"}));
        // {"type":"object"} has 17 bytes, the name 5.
        assert_eq!(max_input_tokens(1000, 2, &schema), 1000 + 17 + 5 + 32);
    }
}
