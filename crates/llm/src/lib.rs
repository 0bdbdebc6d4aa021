//! Model calls. [`Model`] is what handlers use; a [`LlmProvider`] is one wire protocol behind it.
//!
//! Trusted and untrusted prompt parts are types apart. Retries, deadlines, metrics and the one log event per attempt live
//! here, once for all providers. Never logs prompts, completions or keys, and never judges what a model proposes.

pub mod completion;
pub mod config;
pub mod error;
pub mod fixtures;
pub mod metrics;
pub mod openai;
pub mod prompt;
pub mod prompt_file;
pub mod provider;
pub mod retry;

mod classify;
mod log;
mod retry_after;

pub use completion::{Completion, FinishReason, InvalidReason, Spent, TokenUsage};
pub use config::LlmConfig;
pub use error::LlmError;
pub use metrics::LlmMetrics;
pub use openai::OpenAiChat;
pub use prompt::{Prompt, Trusted, Untrusted};
pub use prompt_file::PromptFile;
pub use provider::LlmProvider;
pub use retry::RetryConfig;

use base::{JobId, TenantId, clock::Clock};
use metrics::Of;
use prompt::{Boundary, Message};
use provider::{AttemptRequest, Reply, Seen};
use retry::Limits;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A model that can be called; clones share everything.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    provider: Box<dyn LlmProvider>,
    metrics: LlmMetrics,
    clock: Clock,
    retry: RetryConfig,
}

/// One question to the model.
pub struct Call<'a> {
    pub prompt: Prompt,
    pub schema: OutputSchema,
    pub max_output_tokens: u32,
    /// The task, a label value: `triage`.
    pub label: &'static str,
    /// No wait and no attempt goes on after this.
    pub deadline: Instant,
    pub tenant: TenantId,
    pub job: JobId,
    /// The job's attempt, for the log.
    pub attempt: i32,
    pub cancelled: &'a CancellationToken,
}

/// The JSON schema of an answer. Strict providers want every property required and `additionalProperties` false.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSchema {
    /// 1 to 64 of `A-Za-z0-9_-`.
    pub name: &'static str,
    pub schema: serde_json::Value,
}

/// A request that was sent, and what came of it.
struct Tried<T> {
    result: T,
    seen: Seen,
    client_request_id: Uuid,
    duration: Duration,
}

impl Model {
    pub fn new(
        provider: impl LlmProvider + 'static,
        metrics: LlmMetrics,
        clock: Clock,
        retry: RetryConfig,
    ) -> Self {
        metrics.declare(provider.name(), provider.model());
        Self {
            inner: Arc::new(Inner {
                provider: Box::new(provider),
                metrics,
                clock,
                retry,
            }),
        }
    }

    pub fn provider_name(&self) -> &str {
        self.inner.provider.name()
    }

    pub fn model_name(&self) -> &str {
        self.inner.provider.model()
    }

    /// For counting what only a task can see: answers that do not fit it.
    pub fn metrics(&self) -> &LlmMetrics {
        &self.inner.metrics
    }

    /// Asks, and asks again while that can help and fits before the deadline.
    ///
    /// # Errors
    /// The last attempt's failure; its methods say what the queue should do with the job.
    pub async fn complete(&self, call: &Call<'_>) -> Result<Completion, LlmError> {
        self.complete_counting(call).await.0
    }

    /// As [`Model::complete`], and what it cost even if there is no answer.
    pub async fn complete_counting(
        &self,
        call: &Call<'_>,
    ) -> (Result<Completion, LlmError>, Spent) {
        let Inner { metrics, retry, .. } = &*self.inner;
        let of = self.labels(call);
        let messages = call.prompt.render(&Boundary::random());
        let prompt_bytes = messages
            .iter()
            .map(|message| message.content.len() as u64)
            .sum();
        let log = log::CallLog::new(call, of, prompt_bytes);
        metrics.prompt(of, prompt_bytes);

        let started = Instant::now();
        let mut spent = Spent {
            prompt_bytes,
            ..Spent::default()
        };
        let limits = Limits {
            deadline: call.deadline,
            cancelled: call.cancelled,
        };
        let answered = retry::run(
            retry,
            limits,
            || self.try_once(call, &messages, limits),
            |failed: &Tried<LlmError>, verdict| {
                spent.add(&failed.seen);
                if let retry::Verdict::Retry { .. } = verdict {
                    metrics.retry(of, &failed.result);
                }
                log.failed(failed, verdict);
            },
        )
        .await;
        spent.duration = started.elapsed();
        metrics.call(
            of,
            answered.as_ref().err().map(AsRef::as_ref),
            spent.duration,
        );
        let answered = answered.map(|tried| {
            log.answered(&tried);
            spent.add(&tried.seen);
            Completion {
                text: tried.result.text,
                usage: tried.result.usage,
                model: tried.result.model,
                finish: tried.result.finish,
                tries: spent.tries,
                duration: spent.duration,
                prompt_bytes,
                response_bytes: tried.seen.response_bytes,
            }
        });
        (answered.map_err(|failed| failed.result), spent)
    }

    async fn try_once(
        &self,
        call: &Call<'_>,
        messages: &[Message],
        limits: Limits<'_>,
    ) -> Result<Tried<Reply>, Tried<LlmError>> {
        let Inner {
            provider,
            metrics,
            clock,
            retry,
        } = &*self.inner;
        let of = self.labels(call);
        let request = AttemptRequest {
            label: call.label,
            prompt: &call.prompt,
            messages,
            schema: &call.schema,
            max_output_tokens: call.max_output_tokens,
            client_request_id: Uuid::now_v7(),
            clock,
        };
        let mut seen = Seen::default();
        let started = Instant::now();
        let result = {
            let _inflight = metrics.inflight(of);
            retry::bounded(retry, limits, provider.attempt(&request, &mut seen)).await
        };
        if let Ok(reply) = &result {
            (seen.usage, seen.finish) = (Some(reply.usage), Some(reply.finish));
        }
        metrics.attempt(of, result.as_ref().err(), seen.response_bytes);
        // Counted whatever the attempt's end: a refused or truncated answer is billed too.
        metrics.tokens(of, seen.usage.unwrap_or_default());
        let (client_request_id, duration) = (request.client_request_id, started.elapsed());
        match result {
            Ok(result) => Ok(Tried {
                result,
                seen,
                client_request_id,
                duration,
            }),
            Err(result) => Err(Tried {
                result,
                seen,
                client_request_id,
                duration,
            }),
        }
    }

    fn labels<'a>(&'a self, call: &Call<'_>) -> Of<'a> {
        Of {
            provider: self.inner.provider.name(),
            model: self.inner.provider.model(),
            task: call.label,
        }
    }
}

impl Spent {
    /// Adds one more try.
    fn add(&mut self, seen: &Seen) {
        self.tries += 1;
        self.usage += seen.usage.unwrap_or_default();
        self.response_bytes = self.response_bytes.saturating_add(seen.response_bytes);
    }
}

impl AsRef<LlmError> for Tried<LlmError> {
    fn as_ref(&self) -> &LlmError {
        &self.result
    }
}

/// For the end that no attempt saw: a job given up between two of them.
impl From<LlmError> for Tried<LlmError> {
    fn from(error: LlmError) -> Self {
        Self {
            result: error,
            seen: Seen::default(),
            client_request_id: Uuid::nil(),
            duration: Duration::ZERO,
        }
    }
}
