//! Logs one event per attempt: [`CallLog`]. Fields have the names of [`semconv`](crate::semconv) where it has one; they hold
//! sizes and hashes, never text.

use crate::{
    call::{Attempt, Call, CallLabels},
    error::LlmError,
    provider::Reply,
    retry::Verdict,
    semconv::{CHAT, attribute},
};
use base::{
    hex,
    telemetry::{self, millis},
};

/// The fields that all events of one call share.
pub(super) struct CallLog<'a> {
    call: &'a Call<'a>,
    labels: CallLabels<'a>,
    prompt_sha256: String,
    prompt_bytes: u64,
}

/// How an attempt ended.
struct AttemptEnd<'a> {
    model: Option<&'a str>,
    error_type: Option<&'static str>,
    cause: Option<&'a str>,
    delay_ms: Option<u64>,
    why: Option<&'static str>,
}

/// Logs one event with a fixed set of fields. A macro, because `tracing` wants its levels as constants.
macro_rules! attempt_event {
    ($level:ident, $message:literal, $log:expr, $attempt:expr, $end:expr) => {{
        let (log, attempt, end) = ($log, $attempt, $end);
        let usage = attempt.info.usage;
        let finish = attempt.info.finish.map(|finish| [finish.as_str()]);
        tracing::$level!(
            job.id = %log.call.job,
            attempt = log.call.attempt,
            tenant.id = %log.call.tenant,
            { attribute::OPERATION } = CHAT,
            { attribute::PROVIDER } = log.labels.provider,
            { attribute::REQUEST_MODEL } = log.labels.model,
            { attribute::RESPONSE_MODEL } = end.model,
            { attribute::REQUEST_MAX_TOKENS } = log.call.max_output_tokens,
            { attribute::INPUT_TOKENS } = usage.map(|usage| usage.input),
            { attribute::OUTPUT_TOKENS } = usage.map(|usage| usage.output),
            { attribute::CACHE_READ_TOKENS } = usage.map(|usage| usage.cache_read),
            { attribute::REASONING_TOKENS } = usage.map(|usage| usage.reasoning),
            { attribute::FINISH_REASONS } = finish.map(tracing::field::debug),
            { attribute::ERROR_TYPE } = end.error_type,
            task = log.call.task,
            prompt_version = log.call.prompt.version(),
            prompt_sha256 = log.prompt_sha256,
            prompt_bytes = log.prompt_bytes,
            response_bytes = attempt.info.response_bytes,
            status = attempt.info.status,
            x_request_id = attempt.info.request_id,
            client_request_id = %attempt.client_request_id,
            duration_ms = millis(attempt.duration),
            error = end.cause,
            delay_ms = end.delay_ms,
            why = end.why,
            $message
        );
    }};
}

impl<'a> CallLog<'a> {
    pub(super) fn new(call: &'a Call<'a>, labels: CallLabels<'a>, prompt_bytes: u64) -> Self {
        Self {
            call,
            labels,
            prompt_sha256: hex(&call.prompt.sha256()),
            prompt_bytes,
        }
    }

    pub(super) fn succeeded(&self, attempt: &Attempt<Reply>) {
        let end = AttemptEnd {
            model: Some(&attempt.result.model),
            error_type: None,
            cause: None,
            delay_ms: None,
            why: None,
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
            model: None,
            error_type: Some(attempt.result.class()),
            cause: Some(&cause),
            delay_ms,
            why: Some(why),
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
