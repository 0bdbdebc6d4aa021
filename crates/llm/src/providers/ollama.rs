//! Ollama's own API: [`Ollama`]. [`reply`] reads the response.
//!
//! Its compatible API is served by [`OpenAiChat`](super::openai::OpenAiChat) as well; this one sets the context window,
//! without which Ollama cuts long prompts silently.

mod reply;

use super::{
    capabilities::{Capabilities, Learned, LimitName, OutputMode},
    http::{self, Auth, ClientError, Http},
    options::{ModelOptions, ReasoningEffort},
};
use crate::{
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, LlmProvider, Reply, Server},
};
use async_trait::async_trait;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

const FALLBACKS: &[OutputMode] = &[OutputMode::JsonObject, OutputMode::Text];

/// An Ollama server.
pub struct Ollama {
    http: Http,
    model: String,
    options: ModelOptions,
    learned: Learned,
}

impl Ollama {
    /// Builds a client. `base` is the part before `/api/chat`, for example `http://127.0.0.1:11434`. The key may be empty;
    /// a proxy in front of the server may want one.
    ///
    /// # Errors
    /// If the system's certificates or the credential are unusable.
    pub fn new(
        base: &Url,
        model: String,
        key: SecretString,
        options: ModelOptions,
    ) -> Result<Self, ClientError> {
        let start = Capabilities::full(LimitName::Settled("num_predict"), FALLBACKS);
        Ok(Self {
            http: Http::new(
                http::join(&http::without(base, &["/api", "/v1"]), "/api/chat"),
                &Auth::Bearer,
                key,
                options.headers.clone(),
                options.connect_timeout,
            )?,
            model,
            learned: Learned::new(start.asked_for(&options)),
            options,
        })
    }

    fn body(&self, request: &AttemptRequest<'_>, can: Capabilities) -> Value {
        let rendered = can.messages(request.messages, request.schema);
        let system = rendered.system.map(|text| ("system", text));
        let user = rendered.user.into_iter().map(|text| ("user", text));
        let messages: Vec<Value> = system
            .into_iter()
            .chain(user)
            .map(|(role, content)| json!({ "role": role, "content": content }))
            .collect();
        let mut body = Map::new();
        body.insert("model".into(), json!(self.model));
        body.insert("messages".into(), Value::Array(messages));
        body.insert("stream".into(), json!(false));
        match can.output {
            OutputMode::JsonSchema => {
                body.insert("format".into(), request.schema.value());
            }
            OutputMode::JsonObject => {
                body.insert("format".into(), json!("json"));
            }
            OutputMode::Tool | OutputMode::Text => {}
        }
        if let Some(effort) = self.options.reasoning.filter(|_| can.reasoning) {
            body.insert("think".into(), json!(think(effort)));
        }
        let mut options = Map::new();
        options.insert("num_ctx".into(), json!(self.options.context_tokens));
        let limit = self.output_limit(request.max_output_tokens);
        options.insert("num_predict".into(), json!(limit));
        if let Some(temperature) = self.options.temperature.filter(|_| can.temperature) {
            options.insert("temperature".into(), json!(temperature));
        }
        if let Some(seed) = self.options.seed.filter(|_| can.seed) {
            options.insert("seed".into(), json!(seed));
        }
        body.insert("options".into(), Value::Object(options));
        Value::Object(body)
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

#[async_trait]
impl LlmProvider for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn server(&self) -> Option<&Server> {
        Some(self.http.server())
    }

    fn output_limit(&self, wanted: u32) -> u32 {
        self.options.output_limit(wanted)
    }

    async fn attempt(
        &self,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        let build = |can| self.body(request, can);
        let limit = self.output_limit(request.max_output_tokens);
        self.learned
            .answer(&self.http, build, reply::read, limit, request, info)
            .await
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
