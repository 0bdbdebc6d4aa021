//! A model behind any wire format: [`ProviderClient`].

use super::{
    capabilities::{Capabilities, Learned},
    http::{ClientError, Http},
    options::ModelOptions,
    wire::{Parameters, Target, WireFormat},
};
use crate::{
    batch::BatchApi,
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, BatchForm, Batches, LlmProvider, Reply, Server},
};
use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// A model of a provider, over the network.
pub struct ProviderClient {
    format: &'static dyn WireFormat,
    http: Http,
    model: String,
    options: ModelOptions,
    learned: Learned,
    batches: Option<Box<dyn BatchApi>>,
}

impl ProviderClient {
    pub(super) fn new(
        format: &'static dyn WireFormat,
        target: Target,
    ) -> Result<Self, ClientError> {
        let mut headers = target.options.headers.clone();
        for (name, value) in format.headers() {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let url = format.url(&target);
        let batches = format.batches(&target, headers.clone())?;
        let start = format.capabilities(&target.base);
        let Target {
            model,
            key,
            options,
            ..
        } = target;
        Ok(Self {
            format,
            http: Http::new(url, &format.auth(), key, headers, options.connect_timeout)?,
            model,
            learned: Learned::new(start.asked_for(&options)),
            options,
            batches,
        })
    }

    fn body(&self, request: &AttemptRequest<'_>, can: Capabilities) -> Value {
        let body = self.format.body(&Parameters {
            request,
            model: &self.model,
            options: &self.options,
            can,
        });
        Value::Object(body)
    }

    fn read(
        &self,
        body: &[u8],
        headers: &HeaderMap,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        let limit = self.output_limit(request.max_output_tokens);
        self.format.read(body, headers, request, limit, info)
    }
}

#[async_trait]
impl LlmProvider for ProviderClient {
    fn name(&self) -> &'static str {
        self.format.name()
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
        let api = self.batches.as_deref()?;
        Some(Batches { api, form: self })
    }

    async fn attempt(
        &self,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        let build = |can| self.body(request, can);
        let (response, sent) = self
            .learned
            .exchange(&self.http, build, request, info)
            .await?;
        let reply = self.read(&response.body, &response.headers, request, info)?;
        self.learned.judge_answer(sent, &reply.text);
        Ok(reply)
    }
}

impl BatchForm for ProviderClient {
    fn body(&self, request: &AttemptRequest<'_>) -> Value {
        Self::body(self, request, self.learned.get())
    }

    fn read(
        &self,
        answer: &Value,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        Self::read(
            self,
            answer.to_string().as_bytes(),
            &HeaderMap::new(),
            request,
            info,
        )
    }
}
