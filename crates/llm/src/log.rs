//! The one log event per attempt: [`CallLog`]. The same fields whatever happened; sizes and hashes, never text.

use super::{Call, LlmError, Tried, metrics::Of, provider::Reply, retry::Verdict};
use base::telemetry::{self, millis};

/// What all events of one call share.
pub(super) struct CallLog<'a> {
    call: &'a Call<'a>,
    of: Of<'a>,
    prompt_sha256: String,
    prompt_bytes: u64,
}

/// How an attempt ended, beside what was seen of it.
struct End<'a> {
    outcome: &'static str,
    model: &'a str,
    cause: &'a str,
    delay_ms: Option<u64>,
    why: &'static str,
}

/// One event with a fixed set of fields; levels are constants to `tracing`, so each needs its own expansion.
macro_rules! attempt_event {
    ($level:ident, $message:literal, $log:expr, $tried:expr, $end:expr) => {{
        let (log, tried, end) = ($log, $tried, $end);
        let usage = tried.seen.usage;
        tracing::$level!(
            job.id = %log.call.job,
            attempt = log.call.attempt,
            tenant.id = %log.call.tenant,
            provider = log.of.provider,
            model = log.of.model,
            response_model = end.model,
            task = log.of.task,
            prompt_version = log.call.prompt.version(),
            prompt_sha256 = log.prompt_sha256,
            prompt_bytes = log.prompt_bytes,
            response_bytes = tried.seen.response_bytes,
            max_output_tokens = log.call.max_output_tokens,
            input_tokens = usage.map(|usage| usage.input),
            output_tokens = usage.map(|usage| usage.output),
            cached_tokens = usage.map(|usage| usage.cache_read),
            reasoning_tokens = usage.map(|usage| usage.reasoning),
            finish_reason = tried.seen.finish.map(|finish| finish.as_str()),
            status = tried.seen.status,
            x_request_id = tried.seen.request_id,
            client_request_id = %tried.client_request_id,
            duration_ms = millis(tried.duration),
            outcome = end.outcome,
            error = end.cause,
            delay_ms = end.delay_ms,
            why = end.why,
            $message
        );
    }};
}

impl<'a> CallLog<'a> {
    pub(super) fn new(call: &'a Call<'a>, of: Of<'a>, prompt_bytes: u64) -> Self {
        let digest = call.prompt.sha256();
        Self {
            call,
            of,
            prompt_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            prompt_bytes,
        }
    }

    pub(super) fn answered(&self, tried: &Tried<Reply>) {
        let end = End {
            outcome: "ok",
            model: &tried.result.model,
            cause: "",
            delay_ms: None,
            why: "",
        };
        attempt_event!(info, "the model answered", self, tried, end);
    }

    pub(super) fn failed(&self, tried: &Tried<LlmError>, verdict: Verdict) {
        let cause = telemetry::chain(&tried.result);
        let (delay_ms, why) = match verdict {
            Verdict::Retry { delay, why } => (Some(millis(delay)), why),
            Verdict::GiveUp { why } => (None, why),
        };
        let end = End {
            outcome: tried.result.class(),
            model: "",
            cause: &cause,
            delay_ms,
            why,
        };
        if tried.result.needs_operator() {
            attempt_event!(
                error,
                "the model cannot be used until someone acts",
                self,
                tried,
                end
            );
        } else {
            attempt_event!(warn, "the model did not answer", self, tried, end);
        }
    }
}
