//! Mistral: chat completions with a seed of another name.

use super::{
    capabilities::{Capabilities, LimitName},
    http, openai,
    wire::{Parameters, Target, WireFormat},
};
use crate::{
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
};
use reqwest::{Url, header::HeaderMap};
use serde_json::{Map, Value};

/// Mistral's server. Its address is the part before `/chat/completions`.
pub(super) struct Mistral;

impl WireFormat for Mistral {
    fn name(&self) -> &'static str {
        "mistral_ai"
    }

    fn base_url(&self) -> Option<&'static str> {
        Some("https://api.mistral.ai/v1")
    }

    fn key_variable(&self) -> Option<&'static str> {
        Some("MISTRAL_API_KEY")
    }

    fn url(&self, target: &Target) -> Url {
        http::join(&target.base, "/chat/completions")
    }

    fn capabilities(&self, _base: &Url) -> Capabilities {
        Capabilities::full(LimitName::Settled("max_tokens"), openai::FALLBACKS)
    }

    fn body(&self, parameters: &Parameters<'_>) -> Map<String, Value> {
        openai::body(parameters, "random_seed")
    }

    fn read(
        &self,
        body: &[u8],
        headers: &HeaderMap,
        request: &AttemptRequest<'_>,
        limit: u32,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        openai::reply::read(body, headers, request, limit, info)
    }
}
