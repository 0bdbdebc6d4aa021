//! Anthropic's messages API: [`Anthropic`]. [`reply`] reads the response.
//!
//! The schema is enforced by `output_config`, or by a tool that the model must call.

mod batches;
mod reply;

use super::{
    capabilities::{Capabilities, Learned, LimitName, OutputMode},
    http::{self, Auth, ClientError, Http},
    options::ModelOptions,
};
use crate::{
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, BatchForm, Batches, LlmProvider, Reply, Server},
};
use async_trait::async_trait;
use batches::AnthropicBatches;
use reqwest::{
    Url,
    header::{HeaderMap, HeaderValue},
};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

const FALLBACKS: &[OutputMode] = &[OutputMode::Tool, OutputMode::Text];
const VERSION: &str = "2023-06-01";

/// A server with Anthropic's messages API.
pub struct Anthropic {
    http: Http,
    model: String,
    options: ModelOptions,
    learned: Learned,
    batches: AnthropicBatches,
}

impl Anthropic {
    /// Builds a client. `base` is the part before `/v1/messages`, for example `https://api.anthropic.com`.
    ///
    /// # Errors
    /// If the system's certificates or the credential are unusable.
    pub fn new(
        base: &Url,
        model: String,
        key: SecretString,
        options: ModelOptions,
    ) -> Result<Self, ClientError> {
        let base = &http::without(base, &["/v1"]);
        let mut headers = options.headers.clone();
        headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
        let start = Capabilities {
            // The API has no seed, and one name for the limit.
            seed: false,
            ..Capabilities::full(LimitName::Settled("max_tokens"), FALLBACKS)
        };
        Ok(Self {
            batches: AnthropicBatches::new(base, key.clone(), headers.clone(), &options)?,
            http: Http::new(
                http::join(base, "/v1/messages"),
                &Auth::Header("x-api-key"),
                key,
                headers,
                options.connect_timeout,
            )?,
            model,
            learned: Learned::new(start.asked_for(&options)),
            options,
        })
    }

    fn body(&self, request: &AttemptRequest<'_>, can: Capabilities) -> Value {
        let rendered = can.messages(request.messages, request.schema);
        // One turn of the user with a block per message: turns must alternate.
        let blocks: Vec<Value> = rendered
            .user
            .iter()
            .map(|text| json!({ "type": "text", "text": text }))
            .collect();
        let mut body = Map::new();
        body.insert("model".into(), json!(self.model));
        let limit = self.output_limit(request.max_output_tokens);
        body.insert("max_tokens".into(), json!(limit));
        if let Some(system) = rendered.system {
            // The instructions are the same in every call and come first, so that they can be read from the cache.
            let cached = json!([{ "type": "text", "text": system, "cache_control": { "type": "ephemeral" } }]);
            body.insert("system".into(), cached);
        }
        body.insert(
            "messages".into(),
            json!([{ "role": "user", "content": blocks }]),
        );
        if let Some(temperature) = self.options.temperature.filter(|_| can.temperature) {
            body.insert("temperature".into(), json!(temperature));
        }
        let mut output = Map::new();
        let (name, schema) = (request.schema.name, request.schema.value());
        match can.output {
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
        if let Some(effort) = self.options.reasoning.filter(|_| can.reasoning) {
            output.insert("effort".into(), json!(effort.as_str()));
        }
        if !output.is_empty() {
            body.insert("output_config".into(), Value::Object(output));
        }
        Value::Object(body)
    }
}

impl BatchForm for Anthropic {
    fn body(&self, request: &AttemptRequest<'_>) -> Value {
        Self::body(self, request, self.learned.get())
    }

    fn read(
        &self,
        answer: &Value,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        let limit = self.output_limit(request.max_output_tokens);
        let body = answer.to_string();
        reply::read(body.as_bytes(), &HeaderMap::new(), request, limit, info)
    }
}

#[async_trait]
impl LlmProvider for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
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

    fn batches(&self) -> Option<Batches<'_>> {
        let api = &self.batches;
        Some(Batches { api, form: self })
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
