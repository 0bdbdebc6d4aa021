//! The metrics of model calls: [`LlmMetrics`].
//!
//! Where OpenTelemetry's conventions for generative AI name a metric, it is one of [`semconv::metrics`](crate::semconv).
//! Labels come from closed sets: never a job, a tenant, text or a hash of a prompt.

use crate::{
    call::CallLabels,
    completion::TokenUsage,
    error::{InvalidReason, LlmError},
    semconv::{Naming, metrics::ConventionMetrics},
};
use prometheus::Registry;
use std::time::Duration;

/// 64 B to 4 MiB, in factors of four.
const BYTES: &[f64] = &[
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
];
/// A quarter of a second to a day.
const RETRY_AFTER_SECONDS: &[f64] = &[
    0.25, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0,
];

base::metrics! {
    /// The metrics of model calls that no convention names.
    pub struct OwnMetrics {
        /// Tokens used; input includes cached tokens, output includes reasoning.
        llm_tokens_total: IntCounterVec [provider, model, type],
        /// Model calls ended, by outcome.
        llm_requests_total: IntCounterVec [provider, model, task, outcome],
        /// Requests sent to a provider, by outcome; a call may need several.
        llm_attempts_total: IntCounterVec [provider, model, task, outcome],
        /// Requests retried, by the class of the previous failure.
        llm_retries_total: IntCounterVec [provider, model, reason],
        /// Questions that the next model was asked, by the model that did not answer and why.
        llm_fallbacks_total: IntCounterVec [provider, model, reason],
        /// Delays that a provider requested, in seconds.
        llm_retry_after_seconds: HistogramVec [provider] = RETRY_AFTER_SECONDS,
        /// Size of prompts, in bytes.
        llm_prompt_bytes: HistogramVec [provider, model, task] = BYTES,
        /// Size of response bodies, in bytes.
        llm_response_bytes: HistogramVec [provider, model, task] = BYTES,
        /// Answers unfit for their task, by reason and by whether a second answer was fit.
        llm_output_invalid_total: IntCounterVec [task, reason, repaired],
        /// Requests that were not sent because the configured rate was reached; their jobs wait.
        llm_rate_reached_total: IntCounterVec [provider, model],
        /// Time from the first refusal by the configured rate until the request was admitted, in seconds.
        llm_rate_wait_seconds: HistogramVec [provider, model] = RETRY_AFTER_SECONDS,
        /// Time to admit a request before it is sent: its record, its lane, budgets and rate, in seconds.
        llm_admission_seconds: HistogramVec [provider] = base::metrics::SECONDS,
        /// Requests in flight.
        llm_inflight: IntGaugeVec [provider],
    }
}

/// The metrics of model calls.
#[derive(Clone)]
pub struct LlmMetrics {
    pub(crate) own: OwnMetrics,
    convention: ConventionMetrics,
}

/// Counts one request as in flight until dropped.
pub(crate) struct Inflight(prometheus::IntGauge);

impl LlmMetrics {
    /// Creates the metrics and adds them to the registry.
    ///
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Self::named(registry, Naming::default())
    }

    /// As [`LlmMetrics::register`], with the names of another version of the conventions.
    ///
    /// # Errors
    /// As [`LlmMetrics::register`].
    pub fn named(registry: &Registry, naming: Naming) -> Result<Self, prometheus::Error> {
        Ok(Self {
            own: OwnMetrics::register(registry)?,
            convention: ConventionMetrics::register(registry, naming)?,
        })
    }

    pub(crate) fn naming(&self) -> Naming {
        self.convention.naming()
    }

    /// Counts an answer unfit for its task. `repaired` says whether a second answer was fit.
    pub fn output_invalid(&self, task: &str, reason: InvalidReason, repaired: bool) {
        let repaired = if repaired { "true" } else { "false" };
        self.own
            .llm_output_invalid_total
            .with_label_values(&[task, reason.as_str(), repaired])
            .inc();
    }

    /// Counts a question that another model is asked, because this one did not answer.
    pub fn fallback(&self, provider: &str, model: &str, error: &LlmError) {
        let reason = match error {
            LlmError::NotAdmitted(refusal) => refusal.class(),
            error => error.class(),
        };
        self.own
            .llm_fallbacks_total
            .with_label_values(&[provider, model, reason])
            .inc();
    }

    /// Creates the series of a model before its first call, so that a panel shows 0 and no gap.
    pub(crate) fn declare(&self, provider: &str, model: &str) {
        self.own.llm_inflight.with_label_values(&[provider]).set(0);
        self.own
            .llm_retry_after_seconds
            .with_label_values(&[provider]);
        self.own
            .llm_admission_seconds
            .with_label_values(&[provider]);
        self.own
            .llm_rate_reached_total
            .with_label_values(&[provider, model]);
        self.own
            .llm_rate_wait_seconds
            .with_label_values(&[provider, model]);
        for kind in ["input", "output"] {
            self.own
                .llm_tokens_total
                .with_label_values(&[provider, model, kind]);
        }
    }

    pub(crate) fn admitted(&self, labels: CallLabels<'_>, took: Duration) {
        self.own
            .llm_admission_seconds
            .with_label_values(&[labels.provider])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn inflight(&self, labels: CallLabels<'_>) -> Inflight {
        let gauge = self.own.llm_inflight.with_label_values(&[labels.provider]);
        gauge.inc();
        Inflight(gauge)
    }

    pub(crate) fn prompt(&self, labels: CallLabels<'_>, bytes: u64) {
        self.own
            .llm_prompt_bytes
            .with_label_values(&[labels.provider, labels.model, labels.task])
            .observe(bytes as f64);
    }

    pub(crate) fn attempt(
        &self,
        labels: CallLabels<'_>,
        error: Option<&LlmError>,
        response_bytes: u64,
    ) {
        self.own
            .llm_attempts_total
            .with_label_values(&[labels.provider, labels.model, labels.task, outcome(error)])
            .inc();
        if response_bytes > 0 {
            self.own
                .llm_response_bytes
                .with_label_values(&[labels.provider, labels.model, labels.task])
                .observe(response_bytes as f64);
        }
        if let Some(requested) = error.and_then(LlmError::retry_after) {
            self.own
                .llm_retry_after_seconds
                .with_label_values(&[labels.provider])
                .observe(requested.delay.as_secs_f64());
        }
    }

    pub(crate) fn tokens(&self, labels: CallLabels<'_>, usage: TokenUsage) {
        if usage.total() > 0 {
            self.convention.tokens(labels, usage);
        }
        for (kind, count) in [
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("reasoning", usage.reasoning),
        ] {
            if count > 0 {
                self.own
                    .llm_tokens_total
                    .with_label_values(&[labels.provider, labels.model, kind])
                    .inc_by(count);
            }
        }
    }

    pub(crate) fn retry(&self, labels: CallLabels<'_>, error: &LlmError) {
        self.own
            .llm_retries_total
            .with_label_values(&[labels.provider, labels.model, error.class()])
            .inc();
    }

    pub(crate) fn call(
        &self,
        labels: CallLabels<'_>,
        error: Option<&LlmError>,
        duration: Duration,
    ) {
        self.own
            .llm_requests_total
            .with_label_values(&[labels.provider, labels.model, labels.task, outcome(error)])
            .inc();
        self.convention.call(labels, error, duration);
    }
}

fn outcome(error: Option<&LlmError>) -> &'static str {
    error.map_or("ok", LlmError::class)
}

impl Drop for Inflight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
