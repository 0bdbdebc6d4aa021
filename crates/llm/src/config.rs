//! Reads the configuration of the models from the environment: [`LlmConfig`], and builds the [`Models`] from it.
//!
//! Never falls back from a provider to fixtures or back: testing mode must be switched on explicitly, and without it a
//! missing or placeholder credential prevents the process from starting.

mod key;
mod live;
mod models_file;
mod options;
mod provider;

pub use crate::providers::Provider;
pub use live::LiveConfig;
pub use models_file::{ModelEntry, ModelsConfig, TenantChoice};

use crate::{
    metrics::LlmMetrics,
    model::Model,
    models::{Models, Route, TenantRoutes},
    providers::{
        ClientError,
        fixtures::{FixtureError, Fixtures},
    },
    retry::RetryConfig,
    semconv::{self, Naming},
};
use base::{
    clock::Clock,
    env::{Env, Variable},
};
use prometheus::Registry;
use std::{collections::BTreeMap, path::PathBuf};

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
/// The kind of environment that the process runs in.
pub const ENVIRONMENT: Variable = Variable::optional(
    "POSTROOM_ENV",
    "production",
    "–",
    "`production`, `staging`, `test` or `development`: `production` refuses testing mode, `development` allows `LLM_RECORD_DIR`",
);
/// Its values: a misspelt `production` would allow what it forbids.
const ENVIRONMENTS: [&str; 4] = ["production", "staging", "test", "development"];

/// The variables that are the same for all providers.
const VARIABLES: &[Variable] = &[
    models_file::MODELS_FILE,
    provider::PROVIDER,
    live::MODEL,
    live::BASE_URL,
    live::API_VERSION,
    key::KEY,
    key::KEY_FILE,
    live::TIMEOUT,
    options::CONNECT_TIMEOUT,
    options::TEMPERATURE,
    options::SEED,
    options::REASONING,
    options::MAX_OUTPUT,
    options::CONTEXT,
    options::HEADERS,
    MODE,
    FIXTURES,
    ENVIRONMENT,
    semconv::OPT_IN,
];

/// Returns the variables of a process that calls a model, with the providers' own.
pub fn variables() -> Vec<Variable> {
    let mut variables = VARIABLES.to_vec();
    for key in Provider::ALL.iter().filter_map(|it| it.key()) {
        // Providers of one vendor share it.
        if !variables.contains(&key) {
            variables.push(key);
        }
    }
    variables
}

/// The configuration of the model.
#[derive(Clone, Debug)]
pub enum LlmConfig {
    /// One model over the network.
    Live(Box<LiveConfig>),
    /// Several of them.
    Several(Box<ModelsConfig>),
    /// Fixtures; no network client is built.
    Testing {
        /// Replaces the fixtures that the program ships.
        fixtures: Option<PathBuf>,
    },
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
    /// Reads the variables and records faults in `env`. `tasks` are those that may have a model of their own.
    pub fn from_env(env: &mut Env, tasks: &[&'static str]) -> Self {
        check_environment(env);
        match env.optional(MODE).as_deref() {
            None | Some("false" | "0") => match ModelsConfig::from_env(env, tasks) {
                Some(models) => Self::Several(Box::new(models)),
                None => Self::Live(Box::new(LiveConfig::from_env(env))),
            },
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
            Self::Live(_) | Self::Several(_) => "live",
            Self::Testing { .. } => "testing",
        }
    }
}

fn check_environment(env: &mut Env) {
    let given = env.optional(ENVIRONMENT);
    if given.is_some_and(|name| !ENVIRONMENTS.contains(&&*name)) {
        let names = ENVIRONMENTS.join(", ");
        env.fault(ENVIRONMENT, format!("is none of {names}"));
    }
}

fn refuse_in_production(env: &mut Env) {
    if env.optional(ENVIRONMENT).as_deref() == Some("production") {
        env.fault(
            MODE.example("false"),
            format!(
                "answers from fixtures, which {}=production forbids",
                ENVIRONMENT.name
            ),
        );
    }
}

impl Models {
    /// Builds the configured models. Testing mode answers from `shipped_fixtures` unless the configuration names a folder.
    ///
    /// # Errors
    /// If metrics are registered twice, the certificates are unusable, or a fixture is invalid.
    pub fn from_config(
        config: &LlmConfig,
        registry: &Registry,
        naming: Naming,
        clock: Clock,
        shipped_fixtures: &[(&str, &str)],
    ) -> Result<Self, ModelError> {
        let metrics = LlmMetrics::named(registry, naming).map_err(ModelError::Metrics)?;
        let over_network = |name: String, live: &LiveConfig| -> Result<Model, ModelError> {
            let retry = RetryConfig {
                attempt_timeout: live.timeout,
                ..RetryConfig::default()
            };
            let client = live.client().map_err(ModelError::Client)?;
            let model = Model::named(name, client, metrics.clone(), clock.clone(), retry);
            tracing::info!(
                mode = config.mode(),
                provider = model.provider_name(),
                model = model.model_name(),
                "a model is set up"
            );
            Ok(model)
        };
        match config {
            LlmConfig::Live(live) => over_network(live.model.clone(), live).map(Self::from),
            LlmConfig::Several(several) => {
                let named = several.names().zip(&several.models);
                let built = named.map(|(name, entry)| over_network(name, &entry.live));
                let built = built.collect::<Result<Vec<_>, _>>()?;
                Ok(routes(several, &built))
            }
            LlmConfig::Testing { fixtures } => {
                let fixtures = match fixtures {
                    Some(folder) => Fixtures::from_folder(folder),
                    None => Fixtures::from_texts(shipped_fixtures),
                };
                let fixtures = fixtures.map_err(ModelError::Fixtures)?;
                tracing::info!(mode = config.mode(), "answers come from fixtures");
                let model = Model::new(fixtures, metrics, clock, RetryConfig::default());
                Ok(model.into())
            }
        }
    }
}

/// Builds the routes of the file from its models.
fn routes(config: &ModelsConfig, built: &[Model]) -> Models {
    let route = |place: usize| Route {
        first: built[place].clone(),
        fallbacks: (config.models[place].fallbacks.iter())
            .map(|place| built[*place].clone())
            .collect(),
    };
    let by_task = |tasks: &BTreeMap<&'static str, usize>| {
        let routes = tasks.iter().map(|(task, place)| (*task, route(*place)));
        routes.collect()
    };
    let tenants = config.tenants.iter().map(|(tenant, own)| {
        let routes = TenantRoutes {
            default: own.default.map(route),
            tasks: by_task(&own.tasks),
        };
        (*tenant, routes)
    });
    Models::new(
        route(config.default),
        by_task(&config.tasks),
        tenants.collect(),
    )
}

#[cfg(test)]
mod tests;
