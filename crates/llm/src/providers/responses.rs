//! OpenAI's responses API: [`OpenAiResponses`]. [`reply`] reads the response.
//!
//! Nothing is stored at the provider: every call sends the whole prompt.

mod reply;

use super::{
    capabilities::{Capabilities, Learned, LimitName, OutputMode},
    http::{self, Auth, ClientError, Http},
    openai::batches::OpenAiBatches,
    options::ModelOptions,
};
use crate::{
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, BatchForm, Batches, LlmProvider, Reply, Server},
    tier::ServiceTier,
};
use async_trait::async_trait;
use reqwest::{Url, header::HeaderMap};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

const FALLBACKS: &[OutputMode] = &[OutputMode::JsonObject, OutputMode::Text];

/// A server with OpenAI's responses API.
pub struct OpenAiResponses {
    http: Http,
    model: String,
    options: ModelOptions,
    learned: Learned,
    batches: OpenAiBatches,
}

impl OpenAiResponses {
    /// Builds a client. `base` is the part before `/responses`, for example `https://api.openai.com/v1`.
    ///
    /// # Errors
    /// If the system's certificates or the credential are unusable.
    pub fn new(
        base: &Url,
        model: String,
        key: SecretString,
        options: ModelOptions,
    ) -> Result<Self, ClientError> {
        let start = Capabilities {
            // The API has no seed.
            seed: false,
            ..Capabilities::full(LimitName::Settled("max_output_tokens"), FALLBACKS).with_flex()
        };
        Ok(Self {
            batches: OpenAiBatches::new(base, "/v1/responses", key.clone(), &options)?,
            http: Http::new(
                http::join(base, "/responses"),
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
        let input: Vec<Value> = rendered
            .user
            .iter()
            .map(|text| json!({ "role": "user", "content": text }))
            .collect();
        let mut body = Map::new();
        body.insert("model".into(), json!(self.model));
        if let Some(system) = rendered.system {
            body.insert("instructions".into(), json!(system));
        }
        body.insert("input".into(), Value::Array(input));
        let limit = self.output_limit(request.max_output_tokens);
        body.insert("max_output_tokens".into(), json!(limit));
        if let Some(temperature) = self.options.temperature.filter(|_| can.temperature) {
            body.insert("temperature".into(), json!(temperature));
        }
        if let Some(effort) = self.options.reasoning.filter(|_| can.reasoning) {
            body.insert("reasoning".into(), json!({ "effort": effort.as_str() }));
        }
        if can.flex && request.tier == ServiceTier::Flex {
            body.insert("service_tier".into(), json!("flex"));
        }
        let format = match can.output {
            OutputMode::JsonSchema => Some(json!({
                "type": "json_schema",
                "name": request.schema.name,
                "strict": true,
                "schema": request.schema.value(),
            })),
            OutputMode::JsonObject => Some(json!({ "type": "json_object" })),
            OutputMode::Tool | OutputMode::Text => None,
        };
        if let Some(format) = format {
            body.insert("text".into(), json!({ "format": format }));
        }
        body.insert("store".into(), json!(false));
        Value::Object(body)
    }
}

impl BatchForm for OpenAiResponses {
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
impl LlmProvider for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai"
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
