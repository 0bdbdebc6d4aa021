//! The variables that `cargo dev` reads, each read here and nowhere else. See [`Config`].

use crate::postgres::Way;
use base::env::{ConfigError, Env};
use std::path::PathBuf;

/// What the environment says.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `POSTROOM_POSTGRES`: the one way of finding Postgres to use, instead of the first that works.
    pub forced: Option<Way>,
    /// `PGBIN`: a folder of Postgres binaries, looked at before the usual ones.
    pub pgbin: Option<PathBuf>,
    /// `DATABASE_URL`: a server that runs already. `up` uses it unless a way is forced; tests never do, because a
    /// variable that lies around may point at data that somebody needs.
    pub database_url: Option<String>,
    /// `POSTROOM_TEST_DATABASE_URL`: a superuser's address on the cluster to test on, instead of one of our own.
    pub test_database_url: Option<String>,
    /// `LLM_API_KEY` or `OPENAI_API_KEY` is there, so that a model can be asked.
    pub has_model_key: bool,
}

impl Config {
    /// Reads the variables of this process.
    ///
    /// # Errors
    /// When a value is set and cannot be used.
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
    fn a_forced_way_sets_database_url_aside() {
        let url = ("DATABASE_URL", "postgres://localhost/x");
        let config = Config::read(Env::from_vars([url])).unwrap();
        assert_eq!(config.database_url.as_deref(), Some(url.1));
        let config = Config::read(Env::from_vars([url, ("POSTROOM_POSTGRES", "pip")])).unwrap();
        assert_eq!((config.database_url, config.forced), (None, Some(Way::Pip)));
    }

    #[test]
    fn an_unknown_way_names_the_variable() {
        let error = Config::read(Env::from_vars([("POSTROOM_POSTGRES", "docker")])).unwrap_err();
        assert!(error.to_string().contains(
            "POSTROOM_POSTGRES: is none of system, pip, npm, apt (example: POSTROOM_POSTGRES=pip)"
        ));
    }
}
