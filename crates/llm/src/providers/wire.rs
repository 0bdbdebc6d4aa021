//! In what providers differ: [`WireFormat`], one type for each of them. `ProviderClient` does the rest for all.

use super::{
    capabilities::{Capabilities, Reasoning, Rendered},
    http::{Auth, ClientError},
    options::{ModelOptions, ReasoningEffort},
};
use crate::{
    batch::BatchApi,
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
    tier::ServiceTier,
};
use reqwest::{Url, header::HeaderMap};
use secrecy::SecretString;
use serde_json::{Map, Value};

/// The version of Azure's API if an operator sets none.
pub(crate) const API_VERSION: &str = "2024-10-21";

/// A model on a server, as an operator configures it.
#[derive(Clone, Debug)]
pub struct Target {
    pub base: Url,
    /// For Azure the deployment.
    pub model: String,
    /// Empty if the server wants none.
    pub key: SecretString,
    /// Of Azure.
    pub api_version: String,
    pub options: ModelOptions,
}

/// What a body is built from.
pub(super) struct Parameters<'a> {
    pub(super) request: &'a AttemptRequest<'a>,
    pub(super) model: &'a str,
    pub(super) options: &'a ModelOptions,
    pub(super) can: Capabilities,
}

/// The wire format of a provider, and where it is found. Holds no state.
pub(super) trait WireFormat: Send + Sync {
    /// `gen_ai.provider.name`, a label value. Providers with one name have the same models.
    fn name(&self) -> &'static str;

    /// Returns the provider's public address; none if every customer has an own one.
    fn base_url(&self) -> Option<&'static str>;

    /// Returns the provider's own variable for the credential; none if it needs no credential.
    fn key_variable(&self) -> Option<&'static str>;

    /// Returns the address of requests to the model.
    fn url(&self, target: &Target) -> Url;

    /// Returns where the credential goes.
    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    /// Returns the headers of the protocol; an operator cannot replace them.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Returns what the protocol has, before a server has refused any of it.
    fn capabilities(&self, base: &Url) -> Capabilities;

    /// Builds the body of a request.
    fn body(&self, parameters: &Parameters<'_>) -> Map<String, Value>;

    /// Reads the answer from a successful response; `limit` is the limit on output tokens that was sent.
    ///
    /// # Errors
    /// Anything but a complete answer. Puts its cost into `info` even then.
    fn read(
        &self,
        body: &[u8],
        headers: &HeaderMap,
        request: &AttemptRequest<'_>,
        limit: u32,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError>;

    /// Returns the interface for batches; none if the provider has none. `headers` are those of single requests.
    ///
    /// # Errors
    /// If the system's certificates or the credential are unusable.
    fn batches(
        &self,
        _target: &Target,
        _headers: HeaderMap,
    ) -> Result<Option<Box<dyn BatchApi>>, ClientError> {
        Ok(None)
    }
}

impl Target {
    /// Names a model, with the options of an operator who sets none.
    pub fn new(base: Url, model: impl Into<String>, key: impl Into<SecretString>) -> Self {
        Self {
            base,
            model: model.into(),
            key: key.into(),
            api_version: API_VERSION.to_owned(),
            options: ModelOptions::default(),
        }
    }
}

impl Parameters<'_> {
    /// Returns the limit on output tokens.
    pub(super) fn limit(&self) -> u32 {
        self.options.output_limit(self.request.max_output_tokens)
    }

    pub(super) fn temperature(&self) -> Option<f64> {
        self.options.temperature.filter(|_| self.can.temperature)
    }

    pub(super) fn seed(&self) -> Option<u32> {
        self.options.seed.filter(|_| self.can.seed)
    }

    pub(super) fn reasoning(&self) -> Option<ReasoningEffort> {
        let takes_effort = self.can.reasoning == Reasoning::Effort;
        self.options.reasoning.filter(|_| takes_effort)
    }

    /// Returns whether OpenAI's cheaper tier is asked for.
    pub(super) fn is_flex(&self) -> bool {
        self.can.flex && self.request.tier == ServiceTier::Flex
    }

    /// Returns the prompt as the server takes it.
    pub(super) fn prompt(&self) -> Rendered<'_> {
        self.can
            .messages(self.request.messages, self.request.schema)
    }
}
