//! The environment variables of `cargo dev`. See [`Config`].

use crate::peers::source::PeerSource;
use crate::postgres::BinarySource;
use base::env::{ConfigError, Env, Variable};
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
const MODEL_KEYS: [Variable; 2] = [
    Variable::optional(
        "LLM_API_KEY",
        "sk-…",
        "fixtures",
        "A credential: `cargo dev up` asks the real model instead of answering from fixture files",
    ),
    Variable::optional(
        "OPENAI_API_KEY",
        "sk-…",
        "fixtures",
        "The same by the provider's own name",
    ),
];

/// The variables of `cargo dev`.
pub const VARIABLES: &[Variable] = &[
    POSTGRES,
    PEERS,
    CI,
    PGBIN,
    DATABASE_URL,
    TEST_DATABASE_URL,
    MODEL_KEYS[0],
    MODEL_KEYS[1],
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
    /// Whether `LLM_API_KEY` or `OPENAI_API_KEY` is set.
    pub has_model_key: bool,
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
            has_model_key: MODEL_KEYS.iter().any(|key| env.optional(*key).is_some()),
            forced,
            forced_peers,
            is_ci: ci.is_some_and(|value| value != "false"),
        };
        env.finish(config)
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
