//! The metrics that OpenTelemetry's conventions name: [`ConventionMetrics`], in Prometheus' spelling and one of the two versions.

use super::{CHAT, Naming};
use crate::{call::CallLabels, completion::TokenUsage, error::LlmError};
use prometheus::{HistogramVec, IntCounterVec, Registry};
use std::time::Duration;

/// The convention's buckets, and three more for requests that take minutes.
const SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];
/// The convention's buckets up to the longest context of today.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
];

base::metrics! {
    /// The metrics of v1.41.
    pub struct ReleasedMetrics {
        /// Duration of model calls, including waits between requests, in seconds; error_type is empty on success.
        #[name = "gen_ai_client_operation_duration_seconds"]
        duration: HistogramVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model, error_type] = SECONDS,
        /// Tokens of requests to models; input includes cached tokens, output includes reasoning.
        #[name = "gen_ai_client_token_usage"]
        token_usage: HistogramVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model, gen_ai_token_type] = TOKENS,
    }
}

base::metrics! {
    /// The metrics after v1.41.
    pub struct LatestMetrics {
        /// Duration of model calls, including waits between requests, in seconds; error_type is empty on success.
        #[name = "gen_ai_client_inference_duration_seconds"]
        duration: HistogramVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model, error_type] = SECONDS,
        /// Input tokens of requests to models, including cached ones.
        #[name = "gen_ai_client_inference_operation_input_tokens"]
        input: HistogramVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model] = TOKENS,
        /// Output tokens of requests to models, including reasoning.
        #[name = "gen_ai_client_inference_operation_output_tokens"]
        output: HistogramVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model] = TOKENS,
        /// Input tokens used, including cached ones.
        #[name = "gen_ai_client_inference_usage_input_tokens_total"]
        input_total: IntCounterVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model],
        /// Output tokens used, including reasoning.
        #[name = "gen_ai_client_inference_usage_output_tokens_total"]
        output_total: IntCounterVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model],
        /// Input tokens that were read from the provider's cache.
        #[name = "gen_ai_client_inference_usage_cache_read_input_tokens_total"]
        cache_read_total: IntCounterVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model],
        /// Input tokens that were written to the provider's cache.
        #[name = "gen_ai_client_inference_usage_cache_write_input_tokens_total"]
        cache_write_total: IntCounterVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model],
        /// Output tokens that the model reasoned with.
        #[name = "gen_ai_client_inference_usage_reasoning_output_tokens_total"]
        reasoning_total: IntCounterVec [gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model],
    }
}

/// The metrics in the version that the operator chose.
#[derive(Clone)]
pub(crate) enum ConventionMetrics {
    Released(ReleasedMetrics),
    Latest(LatestMetrics),
}

impl ConventionMetrics {
    pub(crate) fn register(registry: &Registry, naming: Naming) -> Result<Self, prometheus::Error> {
        Ok(match naming {
            Naming::V1_41 => Self::Released(ReleasedMetrics::register(registry)?),
            Naming::Latest => Self::Latest(LatestMetrics::register(registry)?),
        })
    }

    pub(crate) fn naming(&self) -> Naming {
        match self {
            Self::Released(_) => Naming::V1_41,
            Self::Latest(_) => Naming::Latest,
        }
    }

    /// Counts a call.
    pub(crate) fn call(
        &self,
        labels: CallLabels<'_>,
        error: Option<&LlmError>,
        duration: Duration,
    ) {
        let metric = match self {
            Self::Released(metrics) => &metrics.duration,
            Self::Latest(metrics) => &metrics.duration,
        };
        let error_type = error.map_or("", LlmError::class);
        metric
            .with_label_values(&[CHAT, labels.provider, labels.model, error_type])
            .observe(duration.as_secs_f64());
    }

    /// Counts the tokens of a request.
    pub(crate) fn tokens(&self, labels: CallLabels<'_>, usage: TokenUsage) {
        match self {
            Self::Released(metrics) => {
                for (kind, count) in [("input", usage.input), ("output", usage.output)] {
                    metrics
                        .token_usage
                        .with_label_values(&[CHAT, labels.provider, labels.model, kind])
                        .observe(count as f64);
                }
            }
            Self::Latest(metrics) => {
                let labels = [CHAT, labels.provider, labels.model];
                let observe = |metric: &HistogramVec, count: u64| {
                    metric.with_label_values(&labels).observe(count as f64);
                };
                observe(&metrics.input, usage.input);
                observe(&metrics.output, usage.output);
                let add = |metric: &IntCounterVec, count: u64| {
                    metric.with_label_values(&labels).inc_by(count);
                };
                add(&metrics.input_total, usage.input);
                add(&metrics.output_total, usage.output);
                add(&metrics.cache_read_total, usage.cache_read);
                add(&metrics.cache_write_total, usage.cache_write);
                add(&metrics.reasoning_total, usage.reasoning);
            }
        }
    }
}
