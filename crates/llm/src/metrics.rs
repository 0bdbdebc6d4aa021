//! The metrics of model calls: [`LlmMetrics`].
//!
//! Names follow OpenTelemetry's conventions for generative AI (v1.41), in Prometheus' spelling, where a convention exists.
//! Labels come from closed sets: never a job, a tenant, text or a hash of a prompt.

use crate::{
    completion::TokenUsage,
    error::{InvalidReason, LlmError},
};
use std::time::Duration;

/// The convention's buckets, and three more for requests that take minutes.
const OPERATION_SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];
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
    /// The metrics of model calls.
    pub struct LlmMetrics {
        /// Duration of model calls, including waits between requests, in seconds; error_type is empty on success.
        #[name = "gen_ai_client_operation_duration_seconds"]
        operation_seconds: HistogramVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model, error_type] = OPERATION_SECONDS,
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

/// The labels that all metrics of one model share.
#[derive(Clone, Copy)]
pub(crate) struct CallLabels<'a> {
    pub(crate) provider: &'a str,
    pub(crate) model: &'a str,
    pub(crate) task: &'a str,
}

/// Counts one request as in flight until dropped.
pub(crate) struct Inflight(prometheus::IntGauge);

impl LlmMetrics {
    /// Counts an answer unfit for its task. `repaired` says whether a second answer was fit.
    pub fn output_invalid(&self, task: &str, reason: InvalidReason, repaired: bool) {
        let repaired = if repaired { "true" } else { "false" };
        self.llm_output_invalid_total
            .with_label_values(&[task, reason.as_str(), repaired])
            .inc();
    }

    /// Counts a question that another model is asked, because this one did not answer.
    pub fn fallback(&self, provider: &str, model: &str, error: &LlmError) {
        let reason = match error {
            LlmError::NotAdmitted(refusal) => refusal.class(),
            error => error.class(),
        };
        self.llm_fallbacks_total
            .with_label_values(&[provider, model, reason])
            .inc();
    }

    /// Creates the series of a model before its first call, so that a panel shows 0 and no gap.
    pub(crate) fn declare(&self, provider: &str, model: &str) {
        self.llm_inflight.with_label_values(&[provider]).set(0);
        self.llm_retry_after_seconds.with_label_values(&[provider]);
        self.llm_admission_seconds.with_label_values(&[provider]);
        self.llm_rate_reached_total
            .with_label_values(&[provider, model]);
        self.llm_rate_wait_seconds
            .with_label_values(&[provider, model]);
        for kind in ["input", "output"] {
            self.llm_tokens_total
                .with_label_values(&[provider, model, kind]);
        }
    }

    pub(crate) fn admitted(&self, labels: CallLabels<'_>, took: Duration) {
        self.llm_admission_seconds
            .with_label_values(&[labels.provider])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn inflight(&self, labels: CallLabels<'_>) -> Inflight {
        let gauge = self.llm_inflight.with_label_values(&[labels.provider]);
        gauge.inc();
        Inflight(gauge)
    }

    pub(crate) fn prompt(&self, labels: CallLabels<'_>, bytes: u64) {
        self.llm_prompt_bytes
            .with_label_values(&[labels.provider, labels.model, labels.task])
            .observe(bytes as f64);
    }

    pub(crate) fn attempt(
        &self,
        labels: CallLabels<'_>,
        error: Option<&LlmError>,
        response_bytes: u64,
    ) {
        self.llm_attempts_total
            .with_label_values(&[labels.provider, labels.model, labels.task, outcome(error)])
            .inc();
        if response_bytes > 0 {
            self.llm_response_bytes
                .with_label_values(&[labels.provider, labels.model, labels.task])
                .observe(response_bytes as f64);
        }
        if let Some(requested) = error.and_then(LlmError::retry_after) {
            self.llm_retry_after_seconds
                .with_label_values(&[labels.provider])
                .observe(requested.delay.as_secs_f64());
        }
    }

    pub(crate) fn tokens(&self, labels: CallLabels<'_>, usage: TokenUsage) {
        for (kind, count) in [
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("reasoning", usage.reasoning),
        ] {
            if count > 0 {
                self.llm_tokens_total
                    .with_label_values(&[labels.provider, labels.model, kind])
                    .inc_by(count);
            }
        }
    }

    pub(crate) fn retry(&self, labels: CallLabels<'_>, error: &LlmError) {
        self.llm_retries_total
            .with_label_values(&[labels.provider, labels.model, error.class()])
            .inc();
    }

    pub(crate) fn call(
        &self,
        labels: CallLabels<'_>,
        error: Option<&LlmError>,
        duration: Duration,
    ) {
        self.llm_requests_total
            .with_label_values(&[labels.provider, labels.model, labels.task, outcome(error)])
            .inc();
        let error_type = error.map_or("", LlmError::class);
        self.operation_seconds
            .with_label_values(&["chat", labels.provider, labels.model, error_type])
            .observe(duration.as_secs_f64());
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
