//! Google's Gemini API: [`Gemini`]. [`reply`] reads the response.
//!
//! The credential goes into a header, never into the address, which lands in logs.

mod reply;

use super::{
    capabilities::{Capabilities, Learned, LimitName, OutputMode},
    http::{self, Auth, ClientError, Http},
    options::ModelOptions,
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

/// A server with the Gemini API.
pub struct Gemini {
    http: Http,
    model: String,
    options: ModelOptions,
    learned: Learned,
}

impl Gemini {
    /// Builds a client. `base` is the part before `/v1beta`, for example
    /// `https://generativelanguage.googleapis.com`.
    ///
    /// # Errors
    /// If the system's certificates or the credential are unusable.
    pub fn new(
        base: &Url,
        model: String,
        key: SecretString,
        options: ModelOptions,
    ) -> Result<Self, ClientError> {
        let base = &http::without(base, &["/v1beta"]);
        let name = model.trim_start_matches("models/");
        let path = format!("/v1beta/models/{name}:generateContent");
        let start = Capabilities::full(LimitName::Settled("maxOutputTokens"), FALLBACKS);
        Ok(Self {
            http: Http::new(
                http::join(base, &path),
                &Auth::Header("x-goog-api-key"),
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
        let limit = self.output_limit(request.max_output_tokens);
        config.insert("maxOutputTokens".into(), json!(limit));
        if let Some(temperature) = self.options.temperature.filter(|_| can.temperature) {
            config.insert("temperature".into(), json!(temperature));
        }
        if let Some(seed) = self.options.seed.filter(|_| can.seed) {
            config.insert("seed".into(), json!(seed));
        }
        if let Some(effort) = self.options.reasoning.filter(|_| can.reasoning) {
            let thinking = json!({ "thinkingLevel": effort.as_str() });
            config.insert("thinkingConfig".into(), thinking);
        }
        if can.output != OutputMode::Text {
            config.insert("responseMimeType".into(), json!("application/json"));
        }
        if can.output == OutputMode::JsonSchema {
            config.insert("responseJsonSchema".into(), request.schema.value());
        }
        body.insert("generationConfig".into(), Value::Object(config));
        Value::Object(body)
    }
}

#[async_trait]
impl LlmProvider for Gemini {
    fn name(&self) -> &'static str {
        "gcp.gemini"
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
