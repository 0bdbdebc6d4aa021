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
use base::{
    clock::Clock,
    env::{Env, Variable},
};
use prometheus::Registry;
use reqwest::Url;
use secrecy::SecretString;
use std::path::PathBuf;

const PROVIDER: Variable = Variable::with_default(
    "LLM_PROVIDER",
    "openai",
    "The wire protocol: `openai` is any server that speaks OpenAI's chat completions",
);
/// Follows schemas, is cheap, and does not use up its output limit by reasoning.
const OPENAI_MODEL: &str = "gpt-4.1-mini";
const MODEL: Variable = Variable::with_default(
    "LLM_MODEL",
    OPENAI_MODEL,
    "The model's name; required for a server other than OpenAI's",
)
.example("llama3.1:8b");
const BASE_URL: Variable = Variable::with_default(
    "LLM_BASE_URL",
    "https://api.openai.com/v1",
    "The address of the model's API",
);
const KEY_EXAMPLE: &str = "sk-proj-7Qb2…";
const KEY: Variable = Variable::required(
    "LLM_API_KEY",
    KEY_EXAMPLE,
    "The credential, not needed in testing mode; empty and placeholder values count as missing",
);
const OPENAI_KEY: Variable = Variable::optional(
    "OPENAI_API_KEY",
    KEY_EXAMPLE,
    "–",
    "The provider's own name for the credential, used when `LLM_API_KEY` is not set",
);
const MODE: Variable = Variable::switch(
    "LLM_TESTING_MODE",
    "Answers come from fixture files only, no network client is built, no key is needed",
);
const FIXTURES: Variable = Variable::optional(
    "LLM_FIXTURES_DIR",
    "/srv/fixtures",
    "shipped files",
    "Other fixture files; an unknown fixture is an error, never a guess",
);
const ENVIRONMENT: Variable = Variable::optional(
    "POSTROOM_ENV",
    "production",
    "–",
    "`production` refuses testing mode",
);

/// The variables of a process that calls a model.
pub const VARIABLES: &[Variable] = &[
    PROVIDER,
    MODEL,
    BASE_URL,
    KEY,
    OPENAI_KEY,
    MODE,
    FIXTURES,
    ENVIRONMENT,
];

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
    #[error("could not load the fixtures of testing mode ({})", FIXTURES.name)]
    Fixtures(#[source] FixtureError),
}

impl LlmConfig {
    /// Reads the variables and records faults in `env`.
    pub fn from_env(env: &mut Env) -> Self {
        match env.optional(MODE).as_deref() {
            None | Some("false" | "0") => Self::Live(LiveConfig::from_env(env)),
            Some("true" | "1") => {
                refuse_in_production(env);
                let fixtures = env.optional(FIXTURES);
                Self::Testing {
                    fixtures: fixtures.map(PathBuf::from),
                }
            }
            Some(_) => {
                // Neither guess is safe: one sends data to a provider, the other answers from fixtures.
                env.fault(MODE, "is neither true nor false");
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
    let environment = env.optional(ENVIRONMENT);
    if environment.is_some_and(|name| matches!(&*name.to_lowercase(), "production" | "prod")) {
        env.fault(
            MODE.example("false"),
            format!(
                "answers from fixtures, which {}=production forbids",
                ENVIRONMENT.name
            ),
        );
    }
}

impl LiveConfig {
    fn from_env(env: &mut Env) -> Self {
        let provider = env.text(PROVIDER);
        if provider != "openai" {
            env.fault(PROVIDER, "is not a known provider: openai");
        }
        let base_url = base_url(env);
        let model = match env.optional(MODEL) {
            Some(model) => model,
            None if base_url.host_str() == Some(OPENAI_HOST) => OPENAI_MODEL.to_owned(),
            None => {
                env.fault(
                    MODEL,
                    format!(
                        "is not set; a server at {} has its own model names",
                        BASE_URL.name
                    ),
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
    let text = env.text(BASE_URL);
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
    Url::parse(BASE_URL.example).expect("a constant URL parses")
}

/// Reads the credential from the first variable that contains a real one.
fn key(env: &mut Env) -> SecretString {
    let found = [KEY, OPENAI_KEY].map(|variable| env.optional(variable));
    let Some(key) = found.into_iter().flatten().find(|key| !is_placeholder(key)) else {
        let problem = format!(
            "is missing or a placeholder, and so is {}; set either, or {}=true",
            OPENAI_KEY.name, MODE.name
        );
        env.fault(KEY, problem);
        return SecretString::default();
    };
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        env.fault(KEY, "contains characters that no credential has");
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
