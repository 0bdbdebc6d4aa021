//! Which model answers, from the environment: [`LlmConfig`], and the one place where it becomes a [`Model`].
//!
//! A worker never falls back from a model to fixtures or the other way: testing mode is switched on by name, and without it a
//! missing or made-up credential keeps the process from starting.

use super::{
    LlmMetrics, Model, OpenAiChat, RetryConfig,
    fixtures::{FixtureError, Fixtures},
    openai::{ClientError, OPENAI_HOST},
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
/// Follows schemas, costs little, does not spend its output limit on reasoning.
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

/// What the process that calls a model reads.
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

/// Which model answers.
#[derive(Clone, Debug)]
pub enum LlmConfig {
    /// A provider, over the network.
    Live(LiveConfig),
    /// Files. No network client is built.
    Testing {
        /// Instead of the files shipped with the binary.
        fixtures: Option<PathBuf>,
    },
}

/// A server that speaks OpenAI's chat completions.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    pub base_url: Url,
    pub model: String,
    pub key: SecretString,
}

/// Why there is no model.
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
    /// Reads the variables; faults stay in `env`.
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
                // Neither guess is safe: one sends mail to a provider, the other answers it from files.
                env.fault(MODE, "is neither true nor false");
                Self::Testing { fixtures: None }
            }
        }
    }

    /// The label value of `llm_mode`.
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
                "answers mail from files, which {}=production rules out",
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
                        "is not set, and a server at {} has models of its own",
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
        // A credential belongs in its own variable: addresses are logged, printed and passed on.
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "holds a user name or password"
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "holds more than an address and a path"
        }
        Ok(url) => return url,
        Err(_) => "is not a URL",
    };
    env.fault(BASE_URL, problem);
    Url::parse(BASE_URL.example).expect("a constant URL parses")
}

/// The credential from the first variable that holds a real one.
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
        env.fault(KEY, "holds characters that no credential has");
    }
    key.into()
}

/// Whether it is what sample files write where a credential belongs.
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
    /// The model that the configuration asks for; testing mode answers from `shipped_fixtures` unless a folder is named.
    ///
    /// # Errors
    /// If metrics are registered twice, certificates cannot be used, or a fixture is wrong.
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
