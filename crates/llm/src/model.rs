//! [`Model`], what callers use: sends a prompt, retries, counts and logs, whichever provider is behind it.

mod batched;

use crate::{
    call::{Attempt, Call, CallLabels},
    completion::{CallCost, Completion},
    error::LlmError,
    ledger::{FailedRequest, Intent, RequestLedger, Unrecorded, max_input_tokens},
    log::CallLog,
    metrics::LlmMetrics,
    prompt::{Boundary, Message},
    provider::{AttemptInfo, AttemptRequest, LlmProvider, Reply},
    retry::{self, Limits, RetryConfig, Verdict},
    semconv::span::{CallSpan, SpanStart},
    tier::ServiceTier,
};
use base::clock::Clock;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

/// A model that can be called; clones share everything.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    provider: Box<dyn LlmProvider>,
    metrics: LlmMetrics,
    clock: Clock,
    retry: RetryConfig,
}

impl Model {
    pub fn new(
        provider: impl LlmProvider + 'static,
        metrics: LlmMetrics,
        clock: Clock,
        retry: RetryConfig,
    ) -> Self {
        let name = provider.model().to_owned();
        Self::named(name, provider, metrics, clock, retry)
    }

    /// As [`Model::new`], for one of several models that their providers call the same.
    pub fn named(
        name: String,
        provider: impl LlmProvider + 'static,
        metrics: LlmMetrics,
        clock: Clock,
        retry: RetryConfig,
    ) -> Self {
        metrics.declare(provider.name(), &name);
        Self {
            inner: Arc::new(Inner {
                name,
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

    /// The name that no other model of this program has.
    pub fn model_name(&self) -> &str {
        &self.inner.name
    }

    /// The name by which the provider is asked for it.
    pub fn requested_name(&self) -> &str {
        self.inner.provider.model()
    }

    /// The metrics, for callers that count answers unfit for their task.
    pub fn metrics(&self) -> &LlmMetrics {
        &self.inner.metrics
    }

    /// Counts a request that the caller's rate refused.
    pub fn rate_reached(&self) {
        self.metrics()
            .own
            .llm_rate_reached_total
            .with_label_values(&[self.provider_name(), self.model_name()])
            .inc();
    }

    /// Counts how long a request waited for the caller's rate.
    pub fn rate_waited(&self, waited: Duration) {
        self.metrics()
            .own
            .llm_rate_wait_seconds
            .with_label_values(&[self.provider_name(), self.model_name()])
            .observe(waited.as_secs_f64());
    }

    /// Sends the prompt and retries transient failures while a retry fits before the deadline.
    ///
    /// # Errors
    /// The last attempt's failure; its methods say what the queue should do with the job.
    pub async fn complete(&self, call: &Call<'_>) -> Result<Completion, LlmError> {
        self.complete_with_cost(call).await.0
    }

    /// As [`Model::complete`], and returns the cost even if the call fails.
    pub async fn complete_with_cost(
        &self,
        call: &Call<'_>,
    ) -> (Result<Completion, LlmError>, CallCost) {
        self.complete_recorded(call, &Unrecorded).await
    }

    /// As [`Model::complete_with_cost`]; `ledger` admits each request and hears how those that failed ended.
    pub async fn complete_recorded(
        &self,
        call: &Call<'_>,
        ledger: &dyn RequestLedger,
    ) -> (Result<Completion, LlmError>, CallCost) {
        let Inner {
            provider, metrics, ..
        } = &*self.inner;
        let labels = self.labels(call);
        let start = SpanStart {
            labels,
            server: provider.server(),
            max_output_tokens: call.max_output_tokens,
            tenant: call.tenant,
            job: call.job,
            attempt: call.attempt,
        };
        let span = CallSpan::open(metrics.naming(), &start);
        let sent = self.send(call, ledger, &span);
        sent.instrument(span.span.clone()).await
    }

    /// Sends the prompt within the call's span.
    async fn send(
        &self,
        call: &Call<'_>,
        ledger: &dyn RequestLedger,
        span: &CallSpan,
    ) -> (Result<Completion, LlmError>, CallCost) {
        let Inner { metrics, retry, .. } = &*self.inner;
        let labels = self.labels(call);
        let messages = call.prompt.render(&Boundary::random());
        let prompt_bytes = messages
            .iter()
            .map(|message| message.content.len() as u64)
            .sum();
        let log = CallLog::new(call, labels, prompt_bytes);
        metrics.prompt(labels, prompt_bytes);

        let started = Instant::now();
        let mut cost = CallCost {
            prompt_bytes,
            ..CallCost::default()
        };
        let limits = Limits {
            deadline: call.deadline,
            cancelled: call.cancelled,
        };
        let number = AtomicU32::new(0);
        let result = retry::run(
            retry,
            limits,
            || {
                let request = Request {
                    messages: &messages,
                    prompt_bytes,
                    number: number.fetch_add(1, Ordering::Relaxed) + 1,
                    ledger,
                };
                self.attempt(call, request, limits)
            },
            |failed: &Attempt<LlmError>, verdict| {
                if !failed.was_sent() {
                    log.failed(failed, verdict);
                    return;
                }
                cost.add(failed);
                if let Verdict::Retry { .. } = verdict {
                    metrics.retry(labels, &failed.result);
                }
                log.failed(failed, verdict);
            },
        )
        .await;
        cost.duration = started.elapsed();
        let error = result.as_ref().err().map(AsRef::as_ref);
        metrics.call(labels, error, cost.duration);
        let result = result.map(|attempt| {
            log.succeeded(&attempt);
            cost.add(&attempt);
            Completion {
                text: attempt.result.text,
                usage: attempt.result.usage,
                model: attempt.result.model,
                finish: attempt.result.finish,
                tier: attempt.info.tier,
                tries: cost.tries,
                duration: cost.duration,
                prompt_bytes,
                response_bytes: attempt.info.response_bytes,
            }
        });
        let result = result.map_err(|failed| failed.result);
        span.ended(result.as_ref(), &cost);
        (result, cost)
    }

    /// Has the request admitted, sends it once and counts it.
    async fn attempt(
        &self,
        call: &Call<'_>,
        sent: Request<'_>,
        limits: Limits<'_>,
    ) -> Result<Attempt<Reply>, Attempt<LlmError>> {
        let Inner {
            provider,
            metrics,
            clock,
            retry,
            ..
        } = &*self.inner;
        let labels = self.labels(call);
        if limits.deadline <= Instant::now() {
            // Nothing may be recorded for a request that cannot be sent.
            return Err(LlmError::Timeout {
                after: Duration::ZERO,
            }
            .into());
        }
        let request = AttemptRequest {
            task: call.task,
            prompt: &call.prompt,
            messages: sent.messages,
            schema: &call.schema,
            max_output_tokens: call.max_output_tokens,
            // Only the first: a call whose cheap request failed has waited enough.
            tier: match sent.number {
                1 => call.tier,
                _ => ServiceTier::Standard,
            },
            client_request_id: Uuid::now_v7(),
            clock,
        };
        let intent = Intent {
            id: request.client_request_id,
            provider: labels.provider,
            model: labels.model,
            task: call.task,
            number: sent.number,
            prompt_bytes: sent.prompt_bytes,
            max_input_tokens: max_input_tokens(
                sent.prompt_bytes,
                sent.messages.len(),
                &call.schema,
            ),
            max_output_tokens: provider.output_limit(call.max_output_tokens),
            timeout: retry.attempt_timeout,
        };
        let asked = Instant::now();
        sent.ledger.admit(&intent).await?;
        metrics.admitted(labels, asked.elapsed());
        let mut info = AttemptInfo::default();
        let started = Instant::now();
        let result = {
            let _inflight = metrics.inflight(labels);
            retry::bounded(retry, limits, provider.attempt(&request, &mut info)).await
        };
        if let Ok(reply) = &result {
            (info.usage, info.finish) = (Some(reply.usage), Some(reply.finish));
        }
        metrics.attempt(labels, result.as_ref().err(), info.response_bytes);
        // Counts failures too: providers bill refused and truncated answers.
        metrics.tokens(labels, info.usage.unwrap_or_default());
        let (client_request_id, duration) = (request.client_request_id, started.elapsed());
        if let Err(error) = &result {
            let failed = FailedRequest {
                id: client_request_id,
                provider: labels.provider,
                model: labels.model,
                error,
                status: info.status,
                usage: info.usage,
                tier: info.tier,
                response_bytes: info.response_bytes,
                limits: info.limits,
                duration,
            };
            sent.ledger.failed(&failed).await;
        }
        match result {
            Ok(result) => Ok(Attempt {
                result,
                info,
                client_request_id,
                duration,
            }),
            Err(result) => Err(Attempt {
                result,
                info,
                client_request_id,
                duration,
            }),
        }
    }

    fn labels<'a>(&'a self, call: &Call<'_>) -> CallLabels<'a> {
        CallLabels {
            provider: self.inner.provider.name(),
            model: &self.inner.name,
            task: call.task,
        }
    }
}

/// One request of a call.
#[derive(Clone, Copy)]
struct Request<'a> {
    messages: &'a [Message],
    prompt_bytes: u64,
    number: u32,
    ledger: &'a dyn RequestLedger,
}

impl CallCost {
    /// Adds one more request.
    fn add<T>(&mut self, attempt: &Attempt<T>) {
        let info = &attempt.info;
        self.tries += 1;
        self.last_request = attempt.client_request_id;
        self.last_usage = info.usage.unwrap_or_default();
        self.last_tier = info.tier;
        self.last_limits = info.limits;
        self.usage += info.usage.unwrap_or_default();
        self.response_bytes = self.response_bytes.saturating_add(info.response_bytes);
    }
}
