//! OpenAI's responses API: [`OpenAiResponses`]. [`reply`] reads the response.
//!
//! Nothing is stored at the provider: every call sends the whole prompt.

mod reply;

use super::{
    capabilities::{Capabilities, LimitName, OutputMode},
    http::{self, ClientError},
    openai::{self, batches::OpenAiBatches},
    wire::{Parameters, Target, WireFormat},
};
use crate::{
    batch::BatchApi,
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
};
use reqwest::{Url, header::HeaderMap};
use serde_json::{Map, Value, json};

const FALLBACKS: &[OutputMode] = &[OutputMode::JsonObject, OutputMode::Text];

/// A server with OpenAI's responses API. Its address is the part before `/responses`.
pub(super) struct OpenAiResponses;

impl WireFormat for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn base_url(&self) -> Option<&'static str> {
        Some(openai::BASE_URL)
    }

    fn key_variable(&self) -> Option<&'static str> {
        Some(openai::KEY_VARIABLE)
    }

    fn url(&self, target: &Target) -> Url {
        http::join(&target.base, "/responses")
    }

    fn capabilities(&self, _base: &Url) -> Capabilities {
        Capabilities {
            // The API has no seed.
            seed: false,
            ..Capabilities::full(LimitName::Settled("max_output_tokens"), FALLBACKS).with_flex()
        }
    }

    fn body(&self, parameters: &Parameters<'_>) -> Map<String, Value> {
        let rendered = parameters.prompt();
        let input: Vec<Value> = rendered
            .user
            .iter()
            .map(|text| json!({ "role": "user", "content": text }))
            .collect();
        let mut body = Map::new();
        body.insert("model".into(), json!(parameters.model));
        if let Some(system) = rendered.system {
            body.insert("instructions".into(), json!(system));
        }
        body.insert("input".into(), Value::Array(input));
        body.insert("max_output_tokens".into(), json!(parameters.limit()));
        if let Some(temperature) = parameters.temperature() {
            body.insert("temperature".into(), json!(temperature));
        }
        if let Some(effort) = parameters.reasoning() {
            body.insert("reasoning".into(), json!({ "effort": effort.as_str() }));
        }
        if parameters.is_flex() {
            body.insert("service_tier".into(), json!("flex"));
        }
        let format = match parameters.can.output {
            OutputMode::JsonSchema => Some(json!({
                "type": "json_schema",
                "name": parameters.request.schema.name,
                "strict": true,
                "schema": parameters.request.schema.value(),
            })),
            OutputMode::JsonObject => Some(json!({ "type": "json_object" })),
            OutputMode::Tool | OutputMode::Text => None,
        };
        if let Some(format) = format {
            body.insert("text".into(), json!({ "format": format }));
        }
        body.insert("store".into(), json!(false));
        body
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
        let batches = OpenAiBatches::new(target, "/v1/responses")?;
        Ok(Some(Box::new(batches)))
    }
}
