//! Google's Gemini API: [`Gemini`]. [`reply`] reads the response, [`batches`] makes batches.
//!
//! The credential goes into a header, never into the address, which lands in logs.

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
use batches::GeminiBatches;
use reqwest::{Url, header::HeaderMap};
use serde_json::{Map, Value, json};

const AUTH: Auth = Auth::Header("x-goog-api-key");
const FALLBACKS: &[OutputMode] = &[OutputMode::JsonObject, OutputMode::Text];

/// A server with the Gemini API. Its address is the part before `/v1beta`.
pub(super) struct Gemini;

impl WireFormat for Gemini {
    fn name(&self) -> &'static str {
        "gcp.gemini"
    }

    fn base_url(&self) -> Option<&'static str> {
        Some("https://generativelanguage.googleapis.com")
    }

    fn key_variable(&self) -> Option<&'static str> {
        Some("GEMINI_API_KEY")
    }

    fn url(&self, target: &Target) -> Url {
        operation(target, "generateContent")
    }

    fn auth(&self) -> Auth {
        AUTH
    }

    fn capabilities(&self, _base: &Url) -> Capabilities {
        Capabilities::full(LimitName::Settled("maxOutputTokens"), FALLBACKS)
    }

    fn body(&self, parameters: &Parameters<'_>) -> Map<String, Value> {
        let rendered = parameters.prompt();
        let parts: Vec<Value> = rendered
            .user
            .iter()
            .map(|text| json!({ "text": text }))
            .collect();
        let mut body = Map::new();
        if let Some(system) = rendered.system {
            body.insert(
                "systemInstruction".into(),
                json!({ "parts": [{ "text": system }] }),
            );
        }
        body.insert(
            "contents".into(),
            json!([{ "role": "user", "parts": parts }]),
        );
        let mut config = Map::new();
        config.insert("maxOutputTokens".into(), json!(parameters.limit()));
        if let Some(temperature) = parameters.temperature() {
            config.insert("temperature".into(), json!(temperature));
        }
        if let Some(seed) = parameters.seed() {
            config.insert("seed".into(), json!(seed));
        }
        if let Some(effort) = parameters.reasoning() {
            let thinking = json!({ "thinkingLevel": effort.as_str() });
            config.insert("thinkingConfig".into(), thinking);
        }
        if parameters.can.output != OutputMode::Text {
            config.insert("responseMimeType".into(), json!("application/json"));
        }
        if parameters.can.output == OutputMode::JsonSchema {
            config.insert(
                "responseJsonSchema".into(),
                parameters.request.schema.value(),
            );
        }
        body.insert("generationConfig".into(), Value::Object(config));
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
        let batches = GeminiBatches::new(target, headers)?;
        Ok(Some(Box::new(batches)))
    }
}

fn base(target: &Target) -> Url {
    http::without(&target.base, &["/v1beta"])
}

/// Returns the address of an operation of the model.
fn operation(target: &Target, name: &str) -> Url {
    let model = target.model.trim_start_matches("models/");
    http::join(&base(target), &format!("/v1beta/models/{model}:{name}"))
}
