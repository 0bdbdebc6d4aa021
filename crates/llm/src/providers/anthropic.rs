//! Anthropic's messages API: [`Anthropic`]. [`reply`] reads the response.
//!
//! The schema is enforced by `output_config`, or by a tool that the model must call.

mod batches;
mod reply;

use super::{
    capabilities::{Capabilities, LimitName, OutputMode},
    http::{self, Auth, ClientError},
    wire::{Parameters, Target, WireFormat},
};
use crate::{
    batch::BatchApi,
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
};
use batches::AnthropicBatches;
use reqwest::{Url, header::HeaderMap};
use serde_json::{Map, Value, json};

const FALLBACKS: &[OutputMode] = &[OutputMode::Tool, OutputMode::Text];
const AUTH: Auth = Auth::Header("x-api-key");

/// A server with Anthropic's messages API. Its address is the part before `/v1/messages`.
pub(super) struct Anthropic;

impl WireFormat for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn base_url(&self) -> Option<&'static str> {
        Some("https://api.anthropic.com")
    }

    fn key_variable(&self) -> Option<&'static str> {
        Some("ANTHROPIC_API_KEY")
    }

    fn url(&self, target: &Target) -> Url {
        http::join(&base(target), "/v1/messages")
    }

    fn auth(&self) -> Auth {
        AUTH
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn capabilities(&self, _base: &Url) -> Capabilities {
        Capabilities {
            // The API has no seed, and one name for the limit.
            seed: false,
            ..Capabilities::full(LimitName::Settled("max_tokens"), FALLBACKS)
        }
    }

    fn body(&self, parameters: &Parameters<'_>) -> Map<String, Value> {
        let rendered = parameters.prompt();
        // One turn of the user with a block per message: turns must alternate.
        let blocks: Vec<Value> = rendered
            .user
            .iter()
            .map(|text| json!({ "type": "text", "text": text }))
            .collect();
        let mut body = Map::new();
        body.insert("model".into(), json!(parameters.model));
        body.insert("max_tokens".into(), json!(parameters.limit()));
        if let Some(system) = rendered.system {
            // The instructions are the same in every call and come first, so that they can be read from the cache.
            let cached = json!([{ "type": "text", "text": system, "cache_control": { "type": "ephemeral" } }]);
            body.insert("system".into(), cached);
        }
        body.insert(
            "messages".into(),
            json!([{ "role": "user", "content": blocks }]),
        );
        if let Some(temperature) = parameters.temperature() {
            body.insert("temperature".into(), json!(temperature));
        }
        let mut output = Map::new();
        let schema = parameters.request.schema;
        let (name, schema) = (schema.name, schema.value());
        match parameters.can.output {
            OutputMode::JsonSchema => {
                let format = json!({ "type": "json_schema", "schema": schema });
                output.insert("format".into(), format);
            }
            OutputMode::Tool => {
                body.insert(
                    "tools".into(),
                    json!([{ "name": name, "input_schema": schema }]),
                );
                body.insert(
                    "tool_choice".into(),
                    json!({ "type": "tool", "name": name }),
                );
            }
            OutputMode::JsonObject | OutputMode::Text => {}
        }
        if let Some(effort) = parameters.reasoning() {
            output.insert("effort".into(), json!(effort.as_str()));
        }
        if !output.is_empty() {
            body.insert("output_config".into(), Value::Object(output));
        }
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
        headers: HeaderMap,
    ) -> Result<Option<Box<dyn BatchApi>>, ClientError> {
        let batches = AnthropicBatches::new(&base(target), target, headers)?;
        Ok(Some(Box::new(batches)))
    }
}

fn base(target: &Target) -> Url {
    http::without(&target.base, &["/v1"])
}
