//! Azure OpenAI: chat completions under another address, with the credential in `api-key`.

use super::{
    capabilities::{Capabilities, LimitName, OutputMode},
    http::{self, Auth, ClientError},
    openai::{Dialect, OpenAiChat},
    options::ModelOptions,
};
use reqwest::Url;
use secrecy::SecretString;

/// The ways below a JSON schema.
const FALLBACKS: &[OutputMode] = &[OutputMode::Tool, OutputMode::JsonObject, OutputMode::Text];
/// The version that needs no date: its address has no deployment and no `api-version`.
const UNDATED: &str = "v1";

/// Builds a client for a deployment. `endpoint` is the resource's address, for example
/// `https://contoso.openai.azure.com`.
///
/// # Errors
/// If the system's certificates or the credential are unusable.
pub fn chat(
    endpoint: &Url,
    api_version: &str,
    deployment: String,
    key: SecretString,
    options: ModelOptions,
) -> Result<OpenAiChat, ClientError> {
    let dialect = Dialect {
        provider: "azure.ai.openai",
        seed: "seed",
        start: Capabilities::full(LimitName::MaxCompletionTokens, FALLBACKS),
    };
    let url = url(endpoint, api_version, &deployment);
    OpenAiChat::build(
        url,
        &Auth::Header("api-key"),
        dialect,
        deployment,
        key,
        options,
    )
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
