//! The variables that `cargo dev` reads, each read here and nowhere else. See [`Config`].

use crate::postgres::Way;
use std::path::PathBuf;

/// What the environment says.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `POSTROOM_POSTGRES`: the one way of finding Postgres to use, instead of the first that works.
    pub forced: Option<Way>,
    /// `PGBIN`: a folder of Postgres binaries, looked at before the usual ones.
    pub pgbin: Option<PathBuf>,
}

/// A variable cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {problem} (example: {name}={example})")]
pub struct ConfigError {
    pub name: &'static str,
    pub problem: String,
    pub example: &'static str,
}

impl Config {
    /// Reads the variables of this process.
    ///
    /// # Errors
    /// When a value is set and cannot be used.
    pub fn from_process() -> Result<Self, ConfigError> {
        let forced = std::env::var_os("POSTROOM_POSTGRES").filter(|value| !value.is_empty());
        let forced = forced
            .map(|value| value.to_string_lossy().parse())
            .transpose()
            .map_err(|problem| ConfigError {
                name: "POSTROOM_POSTGRES",
                problem,
                example: "pip",
            })?;
        let pgbin = std::env::var_os("PGBIN")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        Ok(Self { forced, pgbin })
    }
}
