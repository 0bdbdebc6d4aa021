//! OpenAI's chat completions API and compatible servers: [`OpenAiChat`]. Azure and Mistral speak it with small differences.
//!
//! Requires an answer that follows a JSON schema, or the strictest way that the server has. [`reply`] reads the response;
//! fixtures use it too.

pub(super) mod batches;
pub(super) mod reply;

use super::{
    capabilities::{Capabilities, Learned, LimitName, OutputMode},
    http::{self, Auth, ClientError, Http},
    options::ModelOptions,
};
use crate::{
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, BatchForm, Batches, LlmProvider, Reply, Server},
    tier::ServiceTier,
};
use async_trait::async_trait;
use batches::OpenAiBatches;
use reqwest::{Url, header::HeaderMap};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

/// OpenAI's own host, the only one known to require `max_completion_tokens`.
pub(crate) const OPENAI_HOST: &str = "api.openai.com";

/// The ways below a JSON schema.
const FALLBACKS: &[OutputMode] = &[OutputMode::Tool, OutputMode::JsonObject, OutputMode::Text];

/// A server with OpenAI's chat completions API.
pub struct OpenAiChat {
    http: Http,
    dialect: Dialect,
    model: String,
    options: ModelOptions,
    learned: Learned,
    /// Of OpenAI and compatible servers.
    batches: Option<OpenAiBatches>,
}

/// In what the servers of this API differ.
pub(super) struct Dialect {
    /// `gen_ai.provider.name`.
    pub(super) provider: &'static str,
    pub(super) seed: &'static str,
    pub(super) start: Capabilities,
}

impl OpenAiChat {
    /// Builds a client with default options. `base` is the part before `/chat/completions`, for example
    /// `https://api.openai.com/v1`.
    ///
    /// # Errors
    /// If the system's certificates or the credential are unusable.
    pub fn new(base: &Url, model: String, key: SecretString) -> Result<Self, ClientError> {
        Self::with_options(base, model, key, ModelOptions::default())
    }

    /// As [`OpenAiChat::new`], with an operator's options.
    ///
    /// # Errors
    /// As [`OpenAiChat::new`].
    pub fn with_options(
        base: &Url,
        model: String,
        key: SecretString,
        options: ModelOptions,
    ) -> Result<Self, ClientError> {
        let limit = if base.host_str() == Some(OPENAI_HOST) {
            LimitName::MaxCompletionTokens
        } else {
            LimitName::MaxTokens
        };
        let dialect = Dialect {
            provider: "openai",
            seed: "seed",
            start: Capabilities::full(limit, FALLBACKS).with_flex(),
        };
        let url = http::join(base, "/chat/completions");
        let batches = OpenAiBatches::new(base, "/v1/chat/completions", key.clone(), &options)?;
        let chat = Self::build(url, &Auth::Bearer, dialect, model, key, options)?;
        Ok(Self {
            batches: Some(batches),
            ..chat
        })
    }

    pub(super) fn build(
        url: Url,
        auth: &Auth,
        dialect: Dialect,
        model: String,
        key: SecretString,
        options: ModelOptions,
    ) -> Result<Self, ClientError> {
        let headers = options.headers.clone();
        Ok(Self {
            http: Http::new(url, auth, key, headers, options.connect_timeout)?,
            learned: Learned::new(dialect.start.asked_for(&options)),
            dialect,
            model,
            options,
            batches: None,
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
        let limit = self.output_limit(request.max_output_tokens);
        body.insert(limit_name(can.limit).into(), json!(limit));
        if let Some(temperature) = self.options.temperature.filter(|_| can.temperature) {
            body.insert("temperature".into(), json!(temperature));
        }
        if let Some(seed) = self.options.seed.filter(|_| can.seed) {
            body.insert(self.dialect.seed.into(), json!(seed));
        }
        if let Some(effort) = self.options.reasoning.filter(|_| can.reasoning) {
            body.insert("reasoning_effort".into(), json!(effort.as_str()));
        }
        if can.flex && request.tier == ServiceTier::Flex {
            body.insert("service_tier".into(), json!("flex"));
        }
        let (name, schema) = (request.schema.name, request.schema.value());
        match can.output {
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
        Value::Object(body)
    }
}

const fn limit_name(limit: LimitName) -> &'static str {
    match limit {
        LimitName::MaxTokens => "max_tokens",
        LimitName::MaxCompletionTokens => "max_completion_tokens",
        LimitName::Settled(name) => name,
    }
}

impl BatchForm for OpenAiChat {
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
impl LlmProvider for OpenAiChat {
    fn name(&self) -> &'static str {
        self.dialect.provider
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
        self.batches.as_ref().map(|api| Batches { api, form: self })
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
    use crate::{Prompt, ServiceTier, prompt_file::tests::JUDGE};
    use base::clock::Clock;
    use uuid::Uuid;

    #[test]
    fn token_limit_has_the_name_that_the_server_expects() {
        let named = |base: &str| {
            let chat = OpenAiChat::new(&base.parse().unwrap(), "m".into(), "k".into()).unwrap();
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
            let body = chat.body(&request, chat.learned.get());
            ["max_completion_tokens", "max_tokens"].map(|name| body[name].as_u64())
        };
        assert_eq!(named("https://api.openai.com/v1"), [Some(700), None]);
        assert_eq!(named("http://127.0.0.1:8080/v1"), [None, Some(700)]);
        assert_eq!(
            named("https://api.openai.com.evil.example/v1"),
            [None, Some(700)]
        );
    }
}
