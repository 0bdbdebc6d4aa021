//! Ollama's own API: [`Ollama`]. [`reply`] reads the response.
//!
//! Its compatible API is served by [`OpenAiChat`](super::openai::OpenAiChat) as well; this one sets the context window,
//! without which Ollama cuts long prompts silently.

mod reply;

use super::{
    capabilities::{Capabilities, LimitName, OutputMode, Reasoning},
    http,
    options::ReasoningEffort,
    wire::{Parameters, Target, WireFormat},
};
use crate::{
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
};
use reqwest::{Url, header::HeaderMap};
use serde_json::{Map, Value, json};

const FALLBACKS: &[OutputMode] = &[OutputMode::JsonObject, OutputMode::Text];

/// An Ollama server. Its address is the part before `/api/chat`. A proxy in front of it may want a key.
pub(super) struct Ollama;

impl WireFormat for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn base_url(&self) -> Option<&'static str> {
        Some("http://127.0.0.1:11434")
    }

    fn key_variable(&self) -> Option<&'static str> {
        None
    }

    fn url(&self, target: &Target) -> Url {
        http::join(&http::without(&target.base, &["/api", "/v1"]), "/api/chat")
    }

    fn capabilities(&self, _base: &Url) -> Capabilities {
        Capabilities::full(LimitName::Settled("num_predict"), FALLBACKS)
    }

    fn body(&self, parameters: &Parameters<'_>) -> Map<String, Value> {
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
        body.insert("stream".into(), json!(false));
        match parameters.can.output {
            OutputMode::JsonSchema => {
                body.insert("format".into(), parameters.request.schema.value());
            }
            OutputMode::JsonObject => {
                body.insert("format".into(), json!("json"));
            }
            OutputMode::Tool | OutputMode::Text => {}
        }
        match (parameters.can.reasoning, parameters.options.reasoning) {
            (Reasoning::Effort, Some(effort)) => {
                body.insert("think".into(), json!(think(effort)));
            }
            (Reasoning::Switch, Some(_)) => {
                body.insert("think".into(), json!(true));
            }
            (Reasoning::Nothing, _) | (_, None) => {}
        }
        let mut options = Map::new();
        options.insert("num_ctx".into(), json!(parameters.options.context_tokens));
        options.insert("num_predict".into(), json!(parameters.limit()));
        if let Some(temperature) = parameters.temperature() {
            options.insert("temperature".into(), json!(temperature));
        }
        if let Some(seed) = parameters.seed() {
            options.insert("seed".into(), json!(seed));
        }
        body.insert("options".into(), Value::Object(options));
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
}

/// Returns Ollama's word for it; it has none below `low`.
const fn think(effort: ReasoningEffort) -> &'static str {
    match effort {
        ReasoningEffort::Minimal | ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimal_effort_is_the_lowest_that_ollama_has() {
        assert_eq!(think(ReasoningEffort::Minimal), "low");
        assert_eq!(think(ReasoningEffort::High), "high");
    }
}
