//! What model calls count. A field's comment is its HELP text.
//!
//! Names follow OpenTelemetry's conventions for generative AI (v1.41) where those have one, as Prometheus spells them. Labels come
//! from closed sets: never a job, a tenant, a message or a hash of a prompt.

use super::{LlmError, TokenUsage, completion::InvalidReason};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector,
};
use std::time::Duration;

/// The convention's buckets, and three more because a request may take minutes.
const OPERATION_SECONDS: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];
/// 64 B to 4 MiB, each four times the last.
const BYTES: [f64; 9] = [
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
/// From "at once" to "tomorrow".
const RETRY_AFTER_SECONDS: [f64; 10] = [
    0.25, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0,
];

/// The metrics of the model client, registered in the process's registry.
#[derive(Clone)]
pub struct LlmMetrics {
    /// Time of a model call, waits between tries included, in seconds; `error_type` is empty if it succeeded.
    gen_ai_client_operation_duration_seconds: HistogramVec,
    /// Tokens used; input includes cached ones, output includes reasoning.
    llm_tokens_total: IntCounterVec,
    /// Model calls ended, by what they ended in.
    llm_requests_total: IntCounterVec,
    /// Requests sent to a provider, by what they ended in; one call may need several.
    llm_attempts_total: IntCounterVec,
    /// Requests repeated, by the class of the failure before.
    llm_retries_total: IntCounterVec,
    /// Waits that a provider asked for, in seconds.
    llm_retry_after_seconds: HistogramVec,
    /// Size of prompts, in bytes.
    llm_prompt_bytes: HistogramVec,
    /// Size of answers on the wire, in bytes.
    llm_response_bytes: HistogramVec,
    /// Answers that could not be used, by what was wrong and whether a repair mended it.
    llm_output_invalid_total: IntCounterVec,
    /// Requests under way.
    llm_inflight: IntGaugeVec,
}

/// The labels that all metrics of one model share.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) task: &'a str,
}

/// Counts one request as under way until dropped.
pub(super) struct Inflight(prometheus::IntGauge);

impl LlmMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let histograms = |name: &str, help: &str, buckets: &[f64], labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            register(registry, HistogramVec::new(opts, labels)?)
        };
        Ok(Self {
            gen_ai_client_operation_duration_seconds: histograms(
                "gen_ai_client_operation_duration_seconds",
                "Time of a model call, waits between tries included, in seconds; error_type is empty if it succeeded.",
                &OPERATION_SECONDS,
                &[
                    "gen_ai_operation_name",
                    "gen_ai_provider_name",
                    "gen_ai_request_model",
                    "error_type",
                ],
            )?,
            llm_tokens_total: counters(
                "llm_tokens_total",
                "Tokens used; input includes cached ones, output includes reasoning.",
                &["provider", "model", "type"],
            )?,
            llm_requests_total: counters(
                "llm_requests_total",
                "Model calls ended, by what they ended in.",
                &["provider", "model", "task", "outcome"],
            )?,
            llm_attempts_total: counters(
                "llm_attempts_total",
                "Requests sent to a provider, by what they ended in; one call may need several.",
                &["provider", "model", "task", "outcome"],
            )?,
            llm_retries_total: counters(
                "llm_retries_total",
                "Requests repeated, by the class of the failure before.",
                &["provider", "model", "reason"],
            )?,
            llm_retry_after_seconds: histograms(
                "llm_retry_after_seconds",
                "Waits that a provider asked for, in seconds.",
                &RETRY_AFTER_SECONDS,
                &["provider"],
            )?,
            llm_prompt_bytes: histograms(
                "llm_prompt_bytes",
                "Size of prompts, in bytes.",
                &BYTES,
                &["provider", "model", "task"],
            )?,
            llm_response_bytes: histograms(
                "llm_response_bytes",
                "Size of answers on the wire, in bytes.",
                &BYTES,
                &["provider", "model", "task"],
            )?,
            llm_output_invalid_total: counters(
                "llm_output_invalid_total",
                "Answers that could not be used, by what was wrong and whether a repair mended it.",
                &["task", "reason", "repaired"],
            )?,
            llm_inflight: register(
                registry,
                IntGaugeVec::new(
                    Opts::new("llm_inflight", "Requests under way."),
                    &["provider"],
                )?,
            )?,
        })
    }

    /// An answer that could not be used. `repaired` says whether a second answer could.
    pub fn output_invalid(&self, task: &str, reason: InvalidReason, repaired: bool) {
        let repaired = if repaired { "true" } else { "false" };
        self.llm_output_invalid_total
            .with_label_values(&[task, reason.as_str(), repaired])
            .inc();
    }

    /// Makes the series of a model appear before its first call, so that a panel shows 0 and not a gap.
    pub(super) fn declare(&self, provider: &str, model: &str) {
        self.llm_inflight.with_label_values(&[provider]).set(0);
        self.llm_retry_after_seconds.with_label_values(&[provider]);
        for kind in ["input", "output"] {
            self.llm_tokens_total
                .with_label_values(&[provider, model, kind]);
        }
    }

    pub(super) fn inflight(&self, of: Of<'_>) -> Inflight {
        let gauge = self.llm_inflight.with_label_values(&[of.provider]);
        gauge.inc();
        Inflight(gauge)
    }

    pub(super) fn prompt(&self, of: Of<'_>, bytes: u64) {
        self.llm_prompt_bytes
            .with_label_values(&[of.provider, of.model, of.task])
            .observe(bytes as f64);
    }

    pub(super) fn attempt(&self, of: Of<'_>, error: Option<&LlmError>, response_bytes: u64) {
        self.llm_attempts_total
            .with_label_values(&[of.provider, of.model, of.task, outcome(error)])
            .inc();
        if response_bytes > 0 {
            self.llm_response_bytes
                .with_label_values(&[of.provider, of.model, of.task])
                .observe(response_bytes as f64);
        }
        if let Some(asked) = error.and_then(LlmError::retry_after) {
            self.llm_retry_after_seconds
                .with_label_values(&[of.provider])
                .observe(asked.delay.as_secs_f64());
        }
    }

    pub(super) fn tokens(&self, of: Of<'_>, usage: TokenUsage) {
        for (kind, count) in [
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("reasoning", usage.reasoning),
        ] {
            if count > 0 {
                self.llm_tokens_total
                    .with_label_values(&[of.provider, of.model, kind])
                    .inc_by(count);
            }
        }
    }

    pub(super) fn retry(&self, of: Of<'_>, error: &LlmError) {
        self.llm_retries_total
            .with_label_values(&[of.provider, of.model, error.class()])
            .inc();
    }

    pub(super) fn call(&self, of: Of<'_>, error: Option<&LlmError>, duration: Duration) {
        self.llm_requests_total
            .with_label_values(&[of.provider, of.model, of.task, outcome(error)])
            .inc();
        let error_type = error.map_or("", LlmError::class);
        self.gen_ai_client_operation_duration_seconds
            .with_label_values(&["chat", of.provider, of.model, error_type])
            .observe(duration.as_secs_f64());
    }
}

fn outcome(error: Option<&LlmError>) -> &'static str {
    error.map_or("ok", LlmError::class)
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

impl Drop for Inflight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
