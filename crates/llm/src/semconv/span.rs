//! The span of one call to a model: [`CallSpan`].
//!
//! Its name is `chat` in code and `chat MODEL` for exporters. It holds names, counts and classes, never a prompt or an answer.

use super::{CHAT, Naming, attribute};
use crate::{
    call::CallLabels,
    completion::{CallCost, Completion},
    error::LlmError,
    provider::Server,
};
use base::{JobId, TenantId};
use tracing::{Span, field::Empty};

/// The span of one call, with all of its requests and the waits between them.
#[derive(Clone)]
pub(crate) struct CallSpan {
    pub(crate) span: Span,
    naming: Naming,
}

/// What is known of a call before its first request.
pub(crate) struct SpanStart<'a> {
    pub(crate) labels: CallLabels<'a>,
    pub(crate) server: Option<&'a Server>,
    pub(crate) max_output_tokens: u32,
    pub(crate) tenant: TenantId,
    pub(crate) job: JobId,
    pub(crate) attempt: i32,
}

impl CallSpan {
    pub(crate) fn open(naming: Naming, start: &SpanStart<'_>) -> Self {
        let SpanStart { labels, server, .. } = *start;
        let span = tracing::info_span!(
            "chat",
            { attribute::SPAN_NAME } = %format_args!("{CHAT} {}", labels.model),
            { attribute::SPAN_KIND } = "client",
            { attribute::SPAN_STATUS } = Empty,
            { attribute::OPERATION } = CHAT,
            { attribute::PROVIDER } = labels.provider,
            { attribute::REQUEST_MODEL } = labels.model,
            { attribute::REQUEST_MAX_TOKENS } = start.max_output_tokens,
            { attribute::OUTPUT_TYPE } = "json",
            { attribute::SERVER_ADDRESS } = server.map(|server| &*server.address),
            { attribute::SERVER_PORT } = server.map(|server| server.port),
            { attribute::RESPONSE_MODEL } = Empty,
            { attribute::FINISH_REASONS } = Empty,
            { attribute::INPUT_TOKENS } = Empty,
            { attribute::OUTPUT_TOKENS } = Empty,
            { attribute::CACHE_READ_TOKENS } = Empty,
            { attribute::CACHE_CREATION_TOKENS } = Empty,
            { attribute::CACHE_WRITE_TOKENS } = Empty,
            { attribute::REASONING_TOKENS } = Empty,
            { attribute::ERROR_TYPE } = Empty,
            job.id = %start.job,
            tenant.id = %start.tenant,
            attempt = start.attempt,
            task = labels.task,
            requests = Empty,
        );
        Self { span, naming }
    }

    /// Records how the call ended and the tokens of all its requests.
    pub(crate) fn ended(&self, result: Result<&Completion, &LlmError>, cost: &CallCost) {
        let span = &self.span;
        span.record("requests", cost.tries);
        match result {
            Ok(completion) => {
                span.record(attribute::RESPONSE_MODEL, &*completion.model);
                let reasons = [completion.finish.as_str()];
                span.record(attribute::FINISH_REASONS, tracing::field::debug(reasons));
            }
            Err(error) => {
                span.record(attribute::ERROR_TYPE, error.class());
                span.record(attribute::SPAN_STATUS, "ERROR");
            }
        }
        let usage = cost.usage;
        if usage.total() == 0 {
            return;
        }
        span.record(attribute::INPUT_TOKENS, usage.input);
        span.record(attribute::OUTPUT_TOKENS, usage.output);
        span.record(attribute::CACHE_READ_TOKENS, usage.cache_read);
        span.record(self.naming.cache_write(), usage.cache_write);
        span.record(attribute::REASONING_TOKENS, usage.reasoning);
    }
}
