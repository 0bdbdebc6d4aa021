//! The configuration of a provider over the network: [`LiveConfig`].

use super::{key, options, provider};
use crate::providers::{
    API_VERSION as DEFAULT_API_VERSION, ClientError, OPENAI_HOST, Provider, ProviderClient, Target,
    options::ModelOptions,
};
use base::env::{Env, Variable};
use reqwest::Url;
use secrecy::SecretString;
use std::time::Duration;

/// Follows schemas, is cheap, and does not use up its output limit by reasoning.
const OPENAI_MODEL: &str = "gpt-4.1-mini";

pub(super) const MODEL: Variable = Variable::optional(
    "LLM_MODEL",
    "llama3.1:8b",
    "gpt-4.1-mini",
    "The model's name (for Azure the deployment's); required for a server other than OpenAI's",
);
pub(super) const BASE_URL: Variable = Variable::optional(
    "LLM_BASE_URL",
    "https://api.openai.com/v1",
    "the provider's",
    "The address of the model's API. For `openai`, `openai-responses` and `mistral` all before `/chat/completions` or `/responses`, \
     mostly with `/v1`; for the others the server's, with or without the version. Required for Azure (`https://NAME.openai.azure.com`)",
);
pub(super) const API_VERSION: Variable = Variable::with_default(
    "LLM_API_VERSION",
    DEFAULT_API_VERSION,
    "Azure only: the version of its API, or `v1`",
);
pub(super) const TIMEOUT: Variable = Variable::with_default(
    "LLM_TIMEOUT_SECONDS",
    "60",
    "The timeout of one request, at most 140. All requests of an attempt share 150 seconds: above 75 a failed request is not retried in the same attempt",
);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(140);

/// A provider over the network.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    pub provider: Provider,
    pub base_url: Url,
    /// For Azure the deployment.
    pub model: String,
    /// Empty if the server wants none.
    pub key: SecretString,
    /// Of Azure.
    pub api_version: String,
    /// Of one request.
    pub timeout: Duration,
    pub options: ModelOptions,
}

impl LiveConfig {
    pub(super) fn from_env(env: &mut Env) -> Self {
        let provider = provider::read(env);
        let base_url = base_url(env, provider);
        Self {
            provider,
            model: model(env, &base_url),
            key: key::read(env, provider),
            api_version: api_version(env),
            timeout: timeout(env),
            options: options::read(env),
            base_url,
        }
    }

    /// Builds the client.
    pub(super) fn client(&self) -> Result<ProviderClient, ClientError> {
        self.provider.client(Target {
            base: self.base_url.clone(),
            model: self.model.clone(),
            key: self.key.clone(),
            api_version: self.api_version.clone(),
            options: self.options.clone(),
        })
    }
}

fn model(env: &mut Env, base_url: &Url) -> String {
    let model = match env.optional(MODEL) {
        Some(model) => model,
        None if base_url.host_str() == Some(OPENAI_HOST) => OPENAI_MODEL.to_owned(),
        None => {
            env.fault(
                MODEL,
                "is not set; a server other than OpenAI's has its own model names",
            );
            String::new()
        }
    };
    // Gemini and Azure have it in their address, where these would change its meaning.
    let safe = |char: char| char.is_alphanumeric() || "-_.:/@+ ".contains(char);
    if !model.chars().all(safe) || model.contains("..") {
        env.fault(MODEL, "contains characters that no model's name has");
    }
    model
}

fn api_version(env: &mut Env) -> String {
    let version = env.text(API_VERSION);
    if !version
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        env.fault(API_VERSION, "is not the version of an API");
    }
    version
}

fn timeout(env: &mut Env) -> Duration {
    let timeout = env.seconds(TIMEOUT);
    if timeout > LONGEST_TIMEOUT {
        let problem = format!("is longer than {} seconds", LONGEST_TIMEOUT.as_secs());
        env.fault(TIMEOUT, problem);
    }
    timeout
}

fn base_url(env: &mut Env, provider: Provider) -> Url {
    let example = Url::parse(BASE_URL.example).expect("a constant URL parses");
    let own = provider.base_url().map(str::to_owned);
    let Some(text) = env.optional(BASE_URL).or(own) else {
        let azure = BASE_URL.example("https://contoso.openai.azure.com");
        env.fault(
            azure,
            "is not set; each customer of this provider has an address of its own",
        );
        return example;
    };
    let problem = match Url::parse(&text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            "is not an http or https URL"
        }
        // A credential belongs in its own variable, because addresses are logged.
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "contains a user name or password"
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "contains more than an address and a path"
        }
        Ok(url) => return url,
        Err(_) => "is not a URL",
    };
    env.fault(BASE_URL, problem);
    example
}
