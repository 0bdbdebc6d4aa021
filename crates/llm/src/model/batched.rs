//! Calls that are sent with others in a batch: what is sent, and how an answer is read.

use super::Model;
use crate::{
    batch::{BatchItem, BatchedCall},
    call::{Call, CallLabels},
    completion::{CallCost, Completion, TokenUsage},
    error::LlmError,
    ledger::{Intent, max_input_tokens},
    prompt::{Boundary, Prompt},
    provider::{AttemptInfo, AttemptRequest, Batches},
    semconv::span::{CallSpan, SpanStart},
    tier::ServiceTier,
};
use base::telemetry::export;
use serde_json::Value;
use uuid::Uuid;

impl Model {
    /// Returns the provider's interface for batches; none if it has none.
    pub fn batches(&self) -> Option<Batches<'_>> {
        self.inner.provider.batches()
    }

    /// Builds the request of a call for a batch, with the most that it may use; none if the provider has no batches.
    pub fn batch_item<'a>(&'a self, call: &Call<'a>) -> Option<(BatchItem, Intent<'a>)> {
        let batches = self.batches()?;
        let messages = call.prompt.render(&Boundary::random());
        let prompt_bytes = messages
            .iter()
            .map(|message| message.content.len() as u64)
            .sum();
        let id = Uuid::now_v7();
        let body = batches.form.body(&AttemptRequest {
            task: call.task,
            prompt: &call.prompt,
            messages: &messages,
            schema: &call.schema,
            max_output_tokens: call.max_output_tokens,
            tier: ServiceTier::Batch,
            client_request_id: id,
            clock: &self.inner.clock,
        });
        let intent = Intent {
            id,
            provider: self.provider_name(),
            model: self.model_name(),
            task: call.task,
            number: 1,
            prompt_bytes,
            max_input_tokens: max_input_tokens(prompt_bytes, messages.len(), &call.schema),
            max_output_tokens: self.inner.provider.output_limit(call.max_output_tokens),
            timeout: self.inner.retry.attempt_timeout,
        };
        Some((BatchItem { id, body }, intent))
    }

    /// Reads an answer of a batch and counts its tokens, which an unusable one has too.
    pub fn read_batched(
        &self,
        answer: &Value,
        call: BatchedCall<'_>,
    ) -> (Result<Completion, LlmError>, TokenUsage) {
        let Some(batches) = self.batches() else {
            let what = "an answer of a batch from a provider without batches";
            return (Err(LlmError::InvalidReply { what }), TokenUsage::default());
        };
        let labels = CallLabels {
            provider: self.provider_name(),
            model: self.model_name(),
            task: call.task,
        };
        let request = AttemptRequest {
            task: call.task,
            prompt: &Prompt::new("batched"),
            messages: &[],
            schema: call.schema,
            max_output_tokens: call.max_output_tokens,
            tier: ServiceTier::Batch,
            client_request_id: Uuid::nil(),
            clock: &self.inner.clock,
        };
        // It lasts as long as the answer is read: nobody waited for it.
        let start = SpanStart {
            labels,
            server: self.inner.provider.server(),
            max_output_tokens: call.max_output_tokens,
            tenant: call.tenant,
            job: call.job,
            attempt: call.attempt,
        };
        let span = CallSpan::open(self.inner.metrics.naming(), &start);
        export::join(&span.span, call.traceparent);
        let mut info = AttemptInfo::default();
        let reply = batches.form.read(answer, &request, &mut info);
        let usage = match &reply {
            Ok(reply) => reply.usage,
            Err(_) => info.usage.unwrap_or_default(),
        };
        self.inner.metrics.tokens(labels, usage);
        let response_bytes = answer.to_string().len() as u64;
        let completion = reply.map(|reply| Completion {
            text: reply.text,
            usage: reply.usage,
            model: reply.model,
            finish: reply.finish,
            tier: ServiceTier::Batch,
            tries: 1,
            duration: call.waited,
            prompt_bytes: call.prompt_bytes,
            response_bytes,
        });
        let cost = CallCost {
            tries: 1,
            usage,
            prompt_bytes: call.prompt_bytes,
            response_bytes,
            ..CallCost::default()
        };
        span.ended(completion.as_ref(), &cost);
        (completion, usage)
    }
}
