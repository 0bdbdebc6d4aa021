//! OpenAI's chat completions API and compatible servers: [`OpenAiChat`]. Azure and Mistral speak it with small differences.
//!
//! Requires an answer that follows a JSON schema, or the strictest way that the server has. [`reply`] reads the response;
//! fixtures use it too.

pub(super) mod batches;
pub(super) mod reply;

use super::{
    capabilities::{Capabilities, LimitName, OutputMode},
    http::{self, ClientError},
    wire::{Parameters, Target, WireFormat},
};
use crate::{
    batch::BatchApi,
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
};
use batches::OpenAiBatches;
use reqwest::{Url, header::HeaderMap};
use serde_json::{Map, Value, json};

/// OpenAI's own host, the only one known to require `max_completion_tokens`.
pub(crate) const OPENAI_HOST: &str = "api.openai.com";
pub(super) const BASE_URL: &str = "https://api.openai.com/v1";
pub(super) const KEY_VARIABLE: &str = "OPENAI_API_KEY";

/// The ways below a JSON schema.
pub(super) const FALLBACKS: &[OutputMode] =
    &[OutputMode::Tool, OutputMode::JsonObject, OutputMode::Text];

/// A server with OpenAI's chat completions API. Its address is the part before `/chat/completions`.
pub(super) struct OpenAiChat;

impl WireFormat for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn base_url(&self) -> Option<&'static str> {
        Some(BASE_URL)
    }

    fn key_variable(&self) -> Option<&'static str> {
        Some(KEY_VARIABLE)
    }

    fn url(&self, target: &Target) -> Url {
        http::join(&target.base, "/chat/completions")
    }

    fn capabilities(&self, base: &Url) -> Capabilities {
        let limit = if base.host_str() == Some(OPENAI_HOST) {
            LimitName::MaxCompletionTokens
        } else {
            LimitName::MaxTokens
        };
        Capabilities::full(limit, FALLBACKS).with_flex()
    }

    fn body(&self, parameters: &Parameters<'_>) -> Map<String, Value> {
        body(parameters, "seed")
    }

    fn read(
        &self,
        body: &[u8],
        headers: &HeaderMap,
        request: &AttemptRequest<'_>,
        limit: u32,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        reply::read(body, headers, request, limit, info)
    }

    fn batches(
        &self,
        target: &Target,
        _headers: HeaderMap,
    ) -> Result<Option<Box<dyn BatchApi>>, ClientError> {
        let batches = OpenAiBatches::new(target, "/v1/chat/completions")?;
        Ok(Some(Box::new(batches)))
    }
}

/// Builds the body of a chat completion for a server that calls the seed `seed_name`.
pub(super) fn body(parameters: &Parameters<'_>, seed_name: &str) -> Map<String, Value> {
    let rendered = parameters.prompt();
    let system = rendered.system.map(|text| ("system", text));
    let user = rendered.user.into_iter().map(|text| ("user", text));
    let messages: Vec<Value> = system
        .into_iter()
        .chain(user)
        .map(|(role, content)| json!({ "role": role, "content": content }))
        .collect();
    let mut body = Map::new();
    body.insert("model".into(), json!(parameters.model));
    body.insert("messages".into(), Value::Array(messages));
    body.insert(
        limit_name(parameters.can.limit).into(),
        json!(parameters.limit()),
    );
    if let Some(temperature) = parameters.temperature() {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(seed) = parameters.seed() {
        body.insert(seed_name.into(), json!(seed));
    }
    if let Some(effort) = parameters.reasoning() {
        body.insert("reasoning_effort".into(), json!(effort.as_str()));
    }
    if parameters.is_flex() {
        body.insert("service_tier".into(), json!("flex"));
    }
    let schema = parameters.request.schema;
    let (name, schema) = (schema.name, schema.value());
    match parameters.can.output {
        OutputMode::JsonSchema => {
            let format = json!({
                "type": "json_schema",
                "json_schema": { "name": name, "strict": true, "schema": schema },
            });
            body.insert("response_format".into(), format);
        }
        OutputMode::Tool => {
            let function = json!({ "name": name, "parameters": schema });
            let tools = json!([{ "type": "function", "function": function }]);
            let choice = json!({ "type": "function", "function": { "name": name } });
            body.insert("tools".into(), tools);
            body.insert("tool_choice".into(), choice);
        }
        OutputMode::JsonObject => {
            body.insert("response_format".into(), json!({ "type": "json_object" }));
        }
        OutputMode::Text => {}
    }
    body
}

const fn limit_name(limit: LimitName) -> &'static str {
    match limit {
        LimitName::MaxTokens => "max_tokens",
        LimitName::MaxCompletionTokens => "max_completion_tokens",
        LimitName::Settled(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Prompt, ServiceTier, prompt_file::tests::JUDGE, providers::options::ModelOptions};
    use base::clock::Clock;
    use uuid::Uuid;

    #[test]
    fn token_limit_has_the_name_that_the_server_expects() {
        let named = |base: &str| {
            let request = AttemptRequest {
                task: "summary",
                prompt: &Prompt::new("test.v1"),
                messages: &[],
                schema: &JUDGE.schema(),
                max_output_tokens: 700,
                tier: ServiceTier::Standard,
                client_request_id: Uuid::nil(),
                clock: &Clock::System,
            };
            let body = OpenAiChat.body(&Parameters {
                request: &request,
                model: "m",
                options: &ModelOptions::default(),
                can: OpenAiChat.capabilities(&base.parse().unwrap()),
            });
            let limit = |name: &str| body.get(name).and_then(Value::as_u64);
            ["max_completion_tokens", "max_tokens"].map(limit)
        };
        assert_eq!(named("https://api.openai.com/v1"), [Some(700), None]);
        assert_eq!(named("http://127.0.0.1:8080/v1"), [None, Some(700)]);
        assert_eq!(
            named("https://api.openai.com.evil.example/v1"),
            [None, Some(700)]
        );
    }
}
