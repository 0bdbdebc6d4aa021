//! One wire protocol behind the model: [`LlmProvider`].
//!
//! A provider sends one request and reads one answer. It does not retry, wait, count or log; [`super::Model`] does, once for
//! all of them.

use super::{
    LlmError, OutputSchema, Prompt, TokenUsage, completion::FinishReason, prompt::Message,
};
use async_trait::async_trait;
use base::clock::Clock;
use uuid::Uuid;

/// A model behind one wire protocol.
#[async_trait]
pub trait LlmProvider: Send + Sync {
    /// `gen_ai.provider.name`, a label value.
    fn name(&self) -> &'static str;

    /// The model that is asked for, a label value.
    fn model(&self) -> &str;

    /// Sends the request once. The caller bounds the time and may drop the future; what was learned by then is in `seen`.
    ///
    /// # Errors
    /// Anything but a complete answer.
    async fn attempt(
        &self,
        request: &AttemptRequest<'_>,
        seen: &mut Seen,
    ) -> Result<Reply, LlmError>;
}

/// What to ask, the same for every attempt of a call but for `client_request_id`.
pub struct AttemptRequest<'a> {
    pub label: &'static str,
    pub prompt: &'a Prompt,
    /// The prompt as it is sent.
    pub messages: &'a [Message],
    pub schema: &'a OutputSchema,
    pub max_output_tokens: u32,
    /// Names this one request in the provider's logs and in ours.
    pub client_request_id: Uuid,
    /// For waits that a provider states as a date.
    pub clock: &'a Clock,
}

/// What an attempt learned on its way, whether it succeeded or not.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub status: Option<u16>,
    /// The provider's name for the request.
    pub request_id: Option<String>,
    pub response_bytes: u64,
    /// Of an answer that turned out to be no use; a [`Reply`] brings its own.
    pub usage: Option<TokenUsage>,
    pub finish: Option<FinishReason>,
}

/// A complete answer.
pub struct Reply {
    pub text: String,
    /// The model that answered.
    pub model: String,
    pub usage: TokenUsage,
    pub finish: FinishReason,
}
