//! One call to a model: [`Call`], and [`Attempt`], one of the requests that it takes.

use crate::{
    error::LlmError,
    prompt::{OutputSchema, Prompt},
    provider::AttemptInfo,
    tier::ServiceTier,
};
use base::{JobId, TenantId};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// One question to the model.
pub struct Call<'a> {
    pub prompt: Prompt,
    pub schema: OutputSchema,
    pub max_output_tokens: u32,
    /// What the answer is for, a label value: `summary`.
    pub task: &'static str,
    /// Of its first request; those after it are standard ones.
    pub tier: ServiceTier,
    /// No wait and no attempt continues after this.
    pub deadline: Instant,
    pub tenant: TenantId,
    pub job: JobId,
    /// The job's attempt, for the log.
    pub attempt: i32,
    pub cancelled: &'a CancellationToken,
}

/// The labels that all metrics of one model share.
#[derive(Clone, Copy)]
pub(crate) struct CallLabels<'a> {
    pub(crate) provider: &'a str,
    pub(crate) model: &'a str,
    pub(crate) task: &'a str,
}

/// One request to the provider and its result.
pub(crate) struct Attempt<T> {
    pub(crate) result: T,
    pub(crate) info: AttemptInfo,
    pub(crate) client_request_id: Uuid,
    pub(crate) duration: Duration,
}

impl Attempt<LlmError> {
    /// Whether a request was sent at all.
    pub(crate) fn was_sent(&self) -> bool {
        !self.client_request_id.is_nil()
    }
}

impl AsRef<LlmError> for Attempt<LlmError> {
    fn as_ref(&self) -> &LlmError {
        &self.result
    }
}

/// A failure without a request: the job was cancelled while the call waited, or the request was not admitted.
impl From<LlmError> for Attempt<LlmError> {
    fn from(error: LlmError) -> Self {
        Self {
            result: error,
            info: AttemptInfo::default(),
            client_request_id: Uuid::nil(),
            duration: Duration::ZERO,
        }
    }
}
