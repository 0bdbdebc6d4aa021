//! One wire protocol behind the model: [`LlmProvider`].
//!
//! A provider sends one request and reads one answer. It does not retry, wait, count or log: [`Model`](crate::Model) does
//! that for all providers.

use crate::{
    batch::BatchApi,
    completion::{FinishReason, TokenUsage},
    error::LlmError,
    limits_left::LimitsLeft,
    prompt::{Message, OutputSchema, Prompt},
    tier::ServiceTier,
};
use async_trait::async_trait;
use base::clock::Clock;
use serde_json::Value;
use uuid::Uuid;

/// A model behind one wire protocol.
#[async_trait]
pub trait LlmProvider: Send + Sync {
    /// `gen_ai.provider.name`, a label value.
    fn name(&self) -> &'static str;

    /// The requested model, a label value.
    fn model(&self) -> &str;

    /// Returns the server that is asked; none if no server is.
    fn server(&self) -> Option<&Server> {
        None
    }

    /// Returns the limit on output tokens that is sent for a call that asks for `wanted`.
    ///
    /// The caller reserves money by it.
    fn output_limit(&self, wanted: u32) -> u32 {
        wanted
    }

    /// Returns the interface for batches; none if the provider has none.
    fn batches(&self) -> Option<Batches<'_>> {
        None
    }

    /// Sends the request once, and again only without what the server refuses by name.
    ///
    /// The caller limits the time and may drop the future; `info` then holds what the attempt learned so far.
    ///
    /// # Errors
    /// Anything but a complete answer.
    async fn attempt(
        &self,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError>;
}

/// The server of a provider, for telemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub address: String,
    pub port: u16,
}

/// The request of an attempt. All attempts of a call share it, except for `client_request_id`.
pub struct AttemptRequest<'a> {
    pub task: &'static str,
    pub prompt: &'a Prompt,
    /// The prompt as sent.
    pub messages: &'a [Message],
    pub schema: &'a OutputSchema,
    pub max_output_tokens: u32,
    /// What is asked for, if the provider has it.
    pub tier: ServiceTier,
    /// Identifies this request in the provider's logs and in ours.
    pub client_request_id: Uuid,
    /// Converts a retry date from the provider into a delay.
    pub clock: &'a Clock,
}

/// What an attempt learned from the server, whether it succeeded or not.
#[derive(Clone, Debug, Default)]
pub struct AttemptInfo {
    pub status: Option<u16>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    pub response_bytes: u64,
    /// What was asked for and, once there is an answer, what the provider served.
    pub tier: ServiceTier,
    /// What the provider says is left of its limits.
    pub limits: LimitsLeft,
    /// Set by the provider for unusable answers, which are billed too; a [`Reply`] carries its own.
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

/// What a request of a batch and its answer look like: as those of a request alone.
pub trait BatchForm: Send + Sync {
    /// Builds the body of one request.
    fn body(&self, request: &AttemptRequest<'_>) -> Value;

    /// Reads an answer; `info` gets what it cost, also if it is unusable.
    ///
    /// # Errors
    /// Anything but a complete answer.
    fn read(
        &self,
        answer: &Value,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError>;
}

/// What a provider with batches has.
#[derive(Clone, Copy)]
pub struct Batches<'a> {
    pub api: &'a dyn BatchApi,
    pub form: &'a dyn BatchForm,
}
