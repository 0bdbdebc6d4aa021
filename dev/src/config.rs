//! The environment variables of `cargo dev`. See [`Config`].

use crate::postgres::Way;
use base::env::{ConfigError, Env};
use std::path::PathBuf;

/// The configuration from the environment.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `POSTROOM_POSTGRES`: the source of Postgres to use, instead of the first that works.
    pub forced: Option<Way>,
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
        let forced = env.optional("POSTROOM_POSTGRES", "pip");
        let forced = forced.and_then(|value| {
            value
                .parse()
                .map_err(|problem: String| env.fault("POSTROOM_POSTGRES", problem, "pip"))
                .ok()
        });
        let url = "postgres://postroom@localhost/postroom";
        let database_url = env.optional("DATABASE_URL", url);
        let key = ["LLM_API_KEY", "OPENAI_API_KEY"];
        let config = Self {
            pgbin: env
                .optional("PGBIN", "/usr/lib/postgresql/18/bin")
                .map(PathBuf::from),
            database_url: database_url.filter(|_| forced.is_none()),
            test_database_url: env.optional("POSTROOM_TEST_DATABASE_URL", url),
            has_model_key: key.iter().any(|name| env.optional(name, "sk-…").is_some()),
            forced,
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
        assert_eq!((config.database_url, config.forced), (None, Some(Way::Pip)));
    }

    #[test]
    fn unknown_source_names_the_variable() {
        let error = Config::read(Env::from_vars([("POSTROOM_POSTGRES", "docker")])).unwrap_err();
        assert!(error.to_string().contains(
            "POSTROOM_POSTGRES: is none of system, pip, npm, apt (example: POSTROOM_POSTGRES=pip)"
        ));
    }
}
