//! Logs one event per attempt: [`CallLog`]. All events have the same fields: sizes and hashes, never text.

use crate::{
    call::{Attempt, Call},
    error::LlmError,
    metrics::CallLabels,
    provider::Reply,
    retry::Verdict,
};
use base::telemetry::{self, millis};

/// The fields that all events of one call share.
pub(super) struct CallLog<'a> {
    call: &'a Call<'a>,
    labels: CallLabels<'a>,
    prompt_sha256: String,
    prompt_bytes: u64,
}

/// How an attempt ended.
struct AttemptEnd<'a> {
    outcome: &'static str,
    model: &'a str,
    cause: &'a str,
    delay_ms: Option<u64>,
    why: &'static str,
}

/// Logs one event with a fixed set of fields. A macro, because `tracing` wants its levels as constants.
macro_rules! attempt_event {
    ($level:ident, $message:literal, $log:expr, $attempt:expr, $end:expr) => {{
        let (log, attempt, end) = ($log, $attempt, $end);
        let usage = attempt.info.usage;
        tracing::$level!(
            job.id = %log.call.job,
            attempt = log.call.attempt,
            tenant.id = %log.call.tenant,
            provider = log.labels.provider,
            model = log.labels.model,
            response_model = end.model,
            task = log.labels.task,
            prompt_version = log.call.prompt.version(),
            prompt_sha256 = log.prompt_sha256,
            prompt_bytes = log.prompt_bytes,
            response_bytes = attempt.info.response_bytes,
            max_output_tokens = log.call.max_output_tokens,
            input_tokens = usage.map(|usage| usage.input),
            output_tokens = usage.map(|usage| usage.output),
            cached_tokens = usage.map(|usage| usage.cache_read),
            reasoning_tokens = usage.map(|usage| usage.reasoning),
            finish_reason = attempt.info.finish.map(|finish| finish.as_str()),
            status = attempt.info.status,
            x_request_id = attempt.info.request_id,
            client_request_id = %attempt.client_request_id,
            duration_ms = millis(attempt.duration),
            outcome = end.outcome,
            error = end.cause,
            delay_ms = end.delay_ms,
            why = end.why,
            $message
        );
    }};
}

impl<'a> CallLog<'a> {
    pub(super) fn new(call: &'a Call<'a>, labels: CallLabels<'a>, prompt_bytes: u64) -> Self {
        let digest = call.prompt.sha256();
        Self {
            call,
            labels,
            prompt_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            prompt_bytes,
        }
    }

    pub(super) fn succeeded(&self, attempt: &Attempt<Reply>) {
        let end = AttemptEnd {
            outcome: "ok",
            model: &attempt.result.model,
            cause: "",
            delay_ms: None,
            why: "",
        };
        attempt_event!(info, "the model answered", self, attempt, end);
    }

    pub(super) fn failed(&self, attempt: &Attempt<LlmError>, verdict: Verdict) {
        let cause = telemetry::chain(&attempt.result);
        let (delay_ms, why) = match verdict {
            Verdict::Retry { delay, why } => (Some(millis(delay)), why),
            Verdict::GiveUp { why } => (None, why),
        };
        let end = AttemptEnd {
            outcome: attempt.result.class(),
            model: "",
            cause: &cause,
            delay_ms,
            why,
        };
        if attempt.result.needs_operator() {
            attempt_event!(
                error,
                "the model call failed and an operator must act",
                self,
                attempt,
                end
            );
        } else {
            attempt_event!(warn, "the model call failed", self, attempt, end);
        }
    }
}
