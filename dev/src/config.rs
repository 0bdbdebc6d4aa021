//! The environment variables of `cargo dev`. See [`Config`].

use crate::peers::source::PeerSource;
use crate::postgres::BinarySource;
use base::env::{ConfigError, Env, Variable};
use base::telemetry;
use llm::config::Provider;
use std::path::PathBuf;

const URL_EXAMPLE: &str = "postgres://postroom@localhost/postroom";

const POSTGRES: Variable = Variable::optional(
    "POSTROOM_POSTGRES",
    "pip",
    "the first that works",
    "Where Postgres comes from, and from nowhere else: `system`, `pip`, `npm` or `apt`",
);
const PEERS: Variable = Variable::optional(
    "POSTROOM_PEERS",
    "deb",
    "the first that works",
    "The one way of getting the tests' peers to use: `system`, `pip`, `apt` or `deb`",
);
const CI: Variable = Variable::optional(
    "CI",
    "true",
    "unset",
    "A peer that cannot be fetched is a failure; otherwise the tests that need it are left out",
);
const PGBIN: Variable = Variable::optional(
    "PGBIN",
    "/usr/lib/postgresql/18/bin",
    "the usual folders",
    "A folder of Postgres binaries, tried before the usual ones",
);
const DATABASE_URL: Variable = Variable::optional(
    "DATABASE_URL",
    URL_EXAMPLE,
    "a Postgres of its own",
    "A running server for `cargo dev up`; ignored by the tests and when `POSTROOM_POSTGRES` is set",
);
const TEST_DATABASE_URL: Variable = Variable::optional(
    "POSTROOM_TEST_DATABASE_URL",
    URL_EXAMPLE,
    "a Postgres of its own",
    "A superuser's address on the cluster to test on",
);
const MODEL_KEY: Variable = Variable::optional(
    "LLM_API_KEY",
    "sk-…",
    "fixtures",
    "A model's credential: `cargo dev up` asks the real model instead of answering from fixture files, and so it does with \
     `LLM_API_KEY_FILE`, `LLM_MODELS_FILE`, the provider's own variable (`OPENAI_API_KEY` or that of `LLM_PROVIDER`), or \
     `LLM_PROVIDER=ollama`",
);
/// Variables of the worker, which declares them: set, they configure a model by themselves.
const MODEL_FILES: [&str; 2] = ["LLM_API_KEY_FILE", "LLM_MODELS_FILE"];
const PROVIDER: &str = "LLM_PROVIDER";

/// The variables of `cargo dev`.
pub const VARIABLES: &[Variable] = &[
    POSTGRES,
    PEERS,
    CI,
    PGBIN,
    DATABASE_URL,
    TEST_DATABASE_URL,
    MODEL_KEY,
];

/// The configuration from the environment.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `POSTROOM_POSTGRES`: the source of Postgres to use, instead of the first that works.
    pub forced: Option<BinarySource>,
    /// `POSTROOM_PEERS`: the source of the tests' peers to use, for every peer that has it.
    pub forced_peers: Option<PeerSource>,
    /// `CI` is set: a missing peer is a failure; otherwise the tests that need it are left out.
    pub is_ci: bool,
    /// `PGBIN`: a folder of Postgres binaries, tried before the usual ones.
    pub pgbin: Option<PathBuf>,
    /// `DATABASE_URL`: a running server. `up` uses it unless a source is forced; tests never do, because the variable may point
    /// to real data.
    pub database_url: Option<String>,
    /// `POSTROOM_TEST_DATABASE_URL`: a superuser's URL of the cluster for tests, instead of a temporary one.
    pub test_database_url: Option<String>,
    /// Whether the variables configure a model for the worker.
    pub has_model: bool,
}

impl Config {
    /// Reads the variables of this process.
    ///
    /// # Errors
    /// If a value is invalid.
    pub fn from_process() -> Result<Self, ConfigError> {
        Self::read(Env::from_process())
    }

    fn read(mut env: Env) -> Result<Self, ConfigError> {
        let forced = env.optional(POSTGRES);
        let forced = forced.and_then(|value| {
            value
                .parse()
                .map_err(|problem: String| env.fault(POSTGRES, problem))
                .ok()
        });
        let forced_peers = env.optional(PEERS).and_then(|value| {
            value
                .parse()
                .map_err(|problem: String| env.fault(PEERS, problem))
                .ok()
        });
        let ci = env.optional(CI);
        let database_url = env.optional(DATABASE_URL);
        let config = Self {
            pgbin: env.optional(PGBIN).map(PathBuf::from),
            database_url: database_url.filter(|_| forced.is_none()),
            test_database_url: env.optional(TEST_DATABASE_URL),
            has_model: has_model(&mut env),
            forced,
            forced_peers,
            is_ci: ci.is_some_and(|value| value != "false"),
        };
        env.finish(config)
    }
}

/// Returns the log events of the API and the worker: those that the shell asks for, and the addresses they listen on, which
/// [`crate::stack`] reads from their logs.
///
/// # Errors
/// If a value is invalid.
pub fn log_events(mut env: Env) -> Result<String, ConfigError> {
    // The more specific directive counts, and of equal ones the later: a bare `warn` silences all but the addresses.
    let addresses = "api::serve=info,worker::run=info";
    let events = format!("{addresses},{}", telemetry::directives(&mut env));
    env.finish(events)
}

/// Whether the worker would find a credential, or needs none. An unknown provider counts: the worker says what is wrong.
fn has_model(env: &mut Env) -> bool {
    if env.optional(MODEL_KEY).is_some() || MODEL_FILES.iter().any(|name| env.named(name).is_some())
    {
        return true;
    }
    let provider = match env.named(PROVIDER) {
        Some(name) => Provider::parse(&name),
        None => Some(Provider::OpenAi),
    };
    match provider.and_then(Provider::key) {
        Some(own) => env.optional(own).is_some(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forced_source_overrides_database_url() {
        let url = ("DATABASE_URL", "postgres://localhost/x");
        let config = Config::read(Env::from_vars([url])).unwrap();
        assert_eq!(config.database_url.as_deref(), Some(url.1));
        let config = Config::read(Env::from_vars([url, ("POSTROOM_POSTGRES", "pip")])).unwrap();
        assert_eq!(
            (config.database_url, config.forced),
            (None, Some(BinarySource::Pip))
        );
    }

    #[test]
    fn ci_is_set_unless_it_is_false() {
        let is_ci = |vars: &[(&str, &str)]| {
            let env = Env::from_vars(vars.iter().copied());
            Config::read(env).unwrap().is_ci
        };
        assert!(is_ci(&[("CI", "true")]) && is_ci(&[("CI", "1")]));
        assert!(!is_ci(&[]) && !is_ci(&[("CI", "false")]));
    }

    #[test]
    fn model_is_real_with_the_credential_of_the_chosen_provider() {
        let has_model = |vars: &[(&str, &str)]| {
            let env = Env::from_vars(vars.iter().copied());
            Config::read(env).unwrap().has_model
        };
        for real in [
            &[("LLM_API_KEY", "sk-1")][..],
            &[("LLM_API_KEY_FILE", "/run/key")],
            &[("LLM_MODELS_FILE", "models.json")],
            &[("OPENAI_API_KEY", "sk-1")],
            &[("LLM_PROVIDER", "anthropic"), ("ANTHROPIC_API_KEY", "sk-1")],
            &[("LLM_PROVIDER", "ollama")],
        ] {
            assert!(has_model(real), "{real:?}");
        }
        for fixtures in [
            &[][..],
            &[("LLM_API_KEY", " ")],
            // The default provider is another, and the worker would refuse to start.
            &[("ANTHROPIC_API_KEY", "sk-1")],
            &[("LLM_PROVIDER", "gemini"), ("OPENAI_API_KEY", "sk-1")],
        ] {
            assert!(!has_model(fixtures), "{fixtures:?}");
        }
    }

    #[test]
    fn unknown_source_names_the_variable() {
        let error = Config::read(Env::from_vars([("POSTROOM_POSTGRES", "docker")])).unwrap_err();
        assert!(error.to_string().contains(
            "POSTROOM_POSTGRES: is none of system, pip, npm, apt (example: POSTROOM_POSTGRES=pip)"
        ));
        let error = Config::read(Env::from_vars([("POSTROOM_PEERS", "docker")])).unwrap_err();
        assert!(error.to_string().contains(
            "POSTROOM_PEERS: is none of system, pip, apt, deb (example: POSTROOM_PEERS=deb)"
        ));
    }
}
