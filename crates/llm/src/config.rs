//! Reads the model's configuration from the environment: [`LlmConfig`], and builds the [`Model`] from it.
//!
//! Never falls back from a provider to fixtures or back: testing mode must be switched on explicitly, and without it a
//! missing or placeholder credential prevents the process from starting.

use crate::{
    metrics::LlmMetrics,
    model::Model,
    providers::{
        fixtures::{FixtureError, Fixtures},
        openai::{ClientError, OPENAI_HOST, OpenAiChat},
    },
    retry::RetryConfig,
};
use base::{clock::Clock, env::Env};
use prometheus::Registry;
use reqwest::Url;
use secrecy::SecretString;
use std::path::PathBuf;

const MODE: &str = "LLM_TESTING_MODE";
const PROVIDER: &str = "LLM_PROVIDER";
const MODEL: &str = "LLM_MODEL";
const BASE_URL: &str = "LLM_BASE_URL";
const KEY: &str = "LLM_API_KEY";
const OPENAI_KEY: &str = "OPENAI_API_KEY";
const FIXTURES: &str = "LLM_FIXTURES_DIR";
const ENVIRONMENT: &str = "POSTROOM_ENV";

const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// Follows schemas, is cheap, and does not use up its output limit by reasoning.
const OPENAI_MODEL: &str = "gpt-4.1-mini";
const KEY_EXAMPLE: &str = "sk-proj-7Qb2…";

/// The configuration of the model.
#[derive(Clone, Debug)]
pub enum LlmConfig {
    /// A provider over the network.
    Live(LiveConfig),
    /// Fixtures; no network client is built.
    Testing {
        /// Replaces the fixtures that the program ships.
        fixtures: Option<PathBuf>,
    },
}

/// A server with OpenAI's chat completions API.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    pub base_url: Url,
    pub model: String,
    pub key: SecretString,
}

/// Why the model could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("could not register the model's metrics")]
    Metrics(#[source] prometheus::Error),
    #[error("could not set up the connection to the model")]
    Client(#[source] ClientError),
    #[error("could not load the fixtures of testing mode ({FIXTURES})")]
    Fixtures(#[source] FixtureError),
}

impl LlmConfig {
    /// Reads the variables and records faults in `env`.
    pub fn from_env(env: &mut Env) -> Self {
        match env.optional(MODE, "true").as_deref() {
            None | Some("false" | "0") => Self::Live(LiveConfig::from_env(env)),
            Some("true" | "1") => {
                refuse_in_production(env);
                let fixtures = env.optional(FIXTURES, "/srv/fixtures");
                Self::Testing {
                    fixtures: fixtures.map(PathBuf::from),
                }
            }
            Some(_) => {
                // Neither guess is safe: one sends data to a provider, the other answers from fixtures.
                env.fault(MODE, "is neither true nor false", "true");
                Self::Testing { fixtures: None }
            }
        }
    }

    /// Returns the mode as a label value: `live` or `testing`.
    pub const fn mode(&self) -> &'static str {
        match self {
            Self::Live(_) => "live",
            Self::Testing { .. } => "testing",
        }
    }
}

fn refuse_in_production(env: &mut Env) {
    let environment = env.optional(ENVIRONMENT, "production");
    if environment.is_some_and(|name| matches!(&*name.to_lowercase(), "production" | "prod")) {
        env.fault(
            MODE,
            format!("answers from fixtures, which {ENVIRONMENT}=production forbids"),
            "false",
        );
    }
}

impl LiveConfig {
    fn from_env(env: &mut Env) -> Self {
        let provider = env.text_or(PROVIDER, "openai", "openai");
        if provider != "openai" {
            env.fault(PROVIDER, "is not a known provider: openai", "openai");
        }
        let base_url = base_url(env);
        let model = match env.optional(MODEL, OPENAI_MODEL) {
            Some(model) => model,
            None if base_url.host_str() == Some(OPENAI_HOST) => OPENAI_MODEL.to_owned(),
            None => {
                env.fault(
                    MODEL,
                    format!("is not set; a server at {BASE_URL} has its own model names"),
                    "llama3.1:8b",
                );
                String::new()
            }
        };
        Self {
            base_url,
            model,
            key: key(env),
        }
    }
}

fn base_url(env: &mut Env) -> Url {
    let standard = Url::parse(OPENAI_BASE_URL).expect("a constant URL parses");
    let Some(text) = env.optional(BASE_URL, OPENAI_BASE_URL) else {
        return standard;
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
    env.fault(BASE_URL, problem, OPENAI_BASE_URL);
    standard
}

/// Reads the credential from the first variable that contains a real one.
fn key(env: &mut Env) -> SecretString {
    let found = [KEY, OPENAI_KEY].map(|name| env.optional(name, KEY_EXAMPLE));
    let Some(key) = found.into_iter().flatten().find(|key| !is_placeholder(key)) else {
        let problem = format!(
            "is missing or a placeholder, and so is {OPENAI_KEY}; set either, or {MODE}=true"
        );
        env.fault(KEY, problem, KEY_EXAMPLE);
        return SecretString::default();
    };
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        env.fault(
            KEY,
            "contains characters that no credential has",
            KEY_EXAMPLE,
        );
    }
    key.into()
}

/// Returns whether the key is a placeholder from a sample file.
fn is_placeholder(key: &str) -> bool {
    let word = key.trim().to_lowercase().replace(['_', ' '], "-");
    let bare = word.trim_start_matches("sk-").trim_start_matches("proj-");
    let filler = bare
        .chars()
        .all(|char| matches!(char, 'x' | '*' | '.' | '…' | '-' | '0'));
    let bracketed = [('<', '>'), ('[', ']'), ('{', '}')]
        .iter()
        .any(|(open, close)| word.starts_with(*open) && word.ends_with(*close));
    let wording = [
        "changeme",
        "change-me",
        "replaceme",
        "replace-me",
        "your-",
        "my-api-key",
        "insert-",
    ]
    .iter()
    .any(|start| bare.starts_with(start));
    let plain = matches!(
        bare,
        "api-key"
            | "apikey"
            | "key"
            | "secret"
            | "token"
            | "placeholder"
            | "example"
            | "none"
            | "null"
            | "tbd"
    );
    filler || bracketed || wording || plain
}

impl Model {
    /// Builds the configured model. Testing mode answers from `shipped_fixtures` unless the configuration names a folder.
    ///
    /// # Errors
    /// If metrics are registered twice, the certificates are unusable, or a fixture is invalid.
    pub fn from_config(
        config: &LlmConfig,
        registry: &Registry,
        clock: Clock,
        shipped_fixtures: &[(&str, &str)],
    ) -> Result<Self, ModelError> {
        let metrics = LlmMetrics::register(registry).map_err(ModelError::Metrics)?;
        let retry = RetryConfig::default();
        let model = match config {
            LlmConfig::Live(live) => {
                let client = OpenAiChat::new(&live.base_url, live.model.clone(), live.key.clone());
                Self::new(client.map_err(ModelError::Client)?, metrics, clock, retry)
            }
            LlmConfig::Testing { fixtures } => {
                let fixtures = match fixtures {
                    Some(folder) => Fixtures::from_folder(folder),
                    None => Fixtures::from_texts(shipped_fixtures),
                };
                Self::new(
                    fixtures.map_err(ModelError::Fixtures)?,
                    metrics,
                    clock,
                    retry,
                )
            }
        };
        tracing::info!(
            mode = config.mode(),
            provider = model.provider_name(),
            model = model.model_name(),
            "the model is set up"
        );
        Ok(model)
    }
}

#[cfg(test)]
mod tests;
