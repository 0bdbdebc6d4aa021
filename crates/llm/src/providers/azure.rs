//! Azure OpenAI: chat completions under another address, with the credential in `api-key`.

use super::{
    capabilities::{Capabilities, LimitName},
    http::{self, Auth},
    openai,
    wire::{Parameters, Target, WireFormat},
};
use crate::{
    error::LlmError,
    provider::{AttemptInfo, AttemptRequest, Reply},
};
use reqwest::{Url, header::HeaderMap};
use serde_json::{Map, Value};

/// The version that needs no date: its address has no deployment and no `api-version`.
const UNDATED: &str = "v1";

/// Azure's server of one customer. Its address is the resource's, for example `https://contoso.openai.azure.com`.
pub(super) struct Azure;

impl WireFormat for Azure {
    fn name(&self) -> &'static str {
        "azure.ai.openai"
    }

    fn base_url(&self) -> Option<&'static str> {
        None
    }

    fn key_variable(&self) -> Option<&'static str> {
        Some("AZURE_OPENAI_API_KEY")
    }

    fn url(&self, target: &Target) -> Url {
        url(&target.base, &target.api_version, &target.model)
    }

    fn auth(&self) -> Auth {
        Auth::Header("api-key")
    }

    fn capabilities(&self, _base: &Url) -> Capabilities {
        Capabilities::full(LimitName::MaxCompletionTokens, openai::FALLBACKS)
    }

    fn body(&self, parameters: &Parameters<'_>) -> Map<String, Value> {
        openai::body(parameters, "seed")
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

fn url(endpoint: &Url, api_version: &str, deployment: &str) -> Url {
    let endpoint = &http::without(endpoint, &["/openai/v1", "/openai"]);
    if api_version == UNDATED {
        return http::join(endpoint, "/openai/v1/chat/completions");
    }
    let path = format!("/openai/deployments/{deployment}/chat/completions");
    let mut url = http::join(endpoint, &path);
    url.query_pairs_mut()
        .append_pair("api-version", api_version);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_names_the_deployment_and_the_version() {
        let endpoint = "https://contoso.openai.azure.com/".parse().unwrap();
        assert_eq!(
            url(&endpoint, "2024-10-21", "judge").as_str(),
            "https://contoso.openai.azure.com/openai/deployments/judge/chat/completions?api-version=2024-10-21"
        );
        for endpoint in [
            "https://contoso.openai.azure.com",
            "https://contoso.openai.azure.com/openai/v1/",
        ] {
            assert_eq!(
                url(&endpoint.parse().unwrap(), "v1", "judge").as_str(),
                "https://contoso.openai.azure.com/openai/v1/chat/completions"
            );
        }
    }
}
