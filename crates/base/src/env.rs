//! Typed reads of environment variables. Every fault is collected, so that one start names them all.
//!
//! See [`Env`]. Never prints a value: a secret in the wrong variable must not end up in a log.

use secrecy::SecretString;
use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

/// The variables of one process and the faults found in them so far.
///
/// Readers return a stand-in after a fault, so that the remaining variables are read too; [`Env::finish`] turns any
/// fault into an error, so a stand-in is never used.
pub struct Env {
    vars: HashMap<String, Option<String>>,
    faults: Vec<Fault>,
}

/// One variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub name: &'static str,
    /// What is wrong, without the value.
    pub problem: String,
    pub example: &'static str,
}

/// All faults of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        for Fault {
            name,
            problem,
            example,
        } in &self.faults
        {
            write!(f, "\n  {name}: {problem} (example: {name}={example})")?;
        }
        Ok(())
    }
}

impl Env {
    /// The variables of this process.
    pub fn from_process() -> Self {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok())))
            .collect();
        Self {
            vars,
            faults: Vec::new(),
        }
    }

    /// Given variables, for tests.
    pub fn from_vars<'a>(vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let vars = vars
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
            .collect();
        Self {
            vars,
            faults: Vec::new(),
        }
    }

    /// The variable's value; unset and blank are the same.
    pub fn optional(&mut self, name: &'static str, example: &'static str) -> Option<String> {
        match self.vars.get(name) {
            None => None,
            Some(Some(value)) if value.trim().is_empty() => None,
            Some(Some(value)) => Some(value.trim().to_owned()),
            Some(None) => {
                self.fault(name, "is not UTF-8", example);
                None
            }
        }
    }

    pub fn text_or(&mut self, name: &'static str, default: &str, example: &'static str) -> String {
        self.optional(name, example)
            .unwrap_or_else(|| default.to_owned())
    }

    /// A value that must be there.
    pub fn required(&mut self, name: &'static str, example: &'static str) -> String {
        let faults = self.faults.len();
        self.optional(name, example).unwrap_or_else(|| {
            if self.faults.len() == faults {
                self.fault(name, "is not set", example);
            }
            String::new()
        })
    }

    /// A value that must be there and must never be printed.
    pub fn secret(&mut self, name: &'static str, example: &'static str) -> SecretString {
        self.required(name, example).into()
    }

    /// `what` completes the sentence "is not …", for example "a socket address".
    pub fn parse_or<T: FromStr>(
        &mut self,
        name: &'static str,
        default: T,
        what: &str,
        example: &'static str,
    ) -> T {
        let Some(value) = self.optional(name, example) else {
            return default;
        };
        value.parse().unwrap_or_else(|_| {
            self.fault(name, format!("is not {what}"), example);
            default
        })
    }

    /// A span of time in seconds, fractions allowed, above zero and at most a year.
    pub fn seconds_or(
        &mut self,
        name: &'static str,
        default: Duration,
        example: &'static str,
    ) -> Duration {
        let seconds = self.parse_or(name, default.as_secs_f64(), "a number of seconds", example);
        if seconds.is_finite() && seconds > 0.0 && seconds <= 31_536_000.0 {
            Duration::from_secs_f64(seconds)
        } else {
            self.fault(
                name,
                "is not a number of seconds above zero and at most a year",
                example,
            );
            default
        }
    }

    /// A switch: `true`, `false`, `1` or `0`; unset is off. Anything else is a fault, not a guess.
    pub fn switch(&mut self, name: &'static str) -> bool {
        match self.optional(name, "true").as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(_) => {
                self.fault(name, "is neither true nor false", "true");
                false
            }
        }
    }

    pub fn fault(&mut self, name: &'static str, problem: impl Into<String>, example: &'static str) {
        self.faults.push(Fault {
            name,
            problem: problem.into(),
            example,
        });
    }

    /// Refuses `DEV_MODE`: what makes a developer's life easy lives in `cargo dev` and is not linked in here.
    pub fn refuse_dev_mode(&mut self) {
        if self.switch("DEV_MODE") {
            self.fault(
                "DEV_MODE",
                "is only for `cargo dev`; this binary has no development helpers",
                "false",
            );
        }
    }

    /// `value`, unless any variable was at fault.
    ///
    /// # Errors
    /// All the faults together.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.faults.is_empty() {
            Ok(value)
        } else {
            Err(ConfigError {
                faults: self.faults,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_together_without_values() {
        let mut env = Env::from_vars([
            ("PORT", "hunter2"),
            ("LEASE", "-1"),
            ("SWITCH", "maybe"),
            ("URL", "  "),
        ]);
        env.parse_or("PORT", 1u16, "a port", "8080");
        env.seconds_or("LEASE", Duration::from_secs(30), "30");
        env.switch("SWITCH");
        env.required("URL", "postgres://localhost/postroom");
        let text = env.finish(()).unwrap_err().to_string();
        assert_eq!(
            text,
            "the configuration cannot be used:\
             \n  PORT: is not a port (example: PORT=8080)\
             \n  LEASE: is not a number of seconds above zero and at most a year (example: LEASE=30)\
             \n  SWITCH: is neither true nor false (example: SWITCH=true)\
             \n  URL: is not set (example: URL=postgres://localhost/postroom)"
        );
    }

    #[test]
    fn defaults_stand_where_nothing_is_set() {
        let mut env = Env::from_vars([("LEASE", "0.5")]);
        assert_eq!(
            env.seconds_or("LEASE", Duration::from_secs(30), "30"),
            Duration::from_millis(500)
        );
        assert_eq!(env.text_or("NAME", "postroom", "x"), "postroom");
        assert!(!env.switch("SWITCH"));
        assert_eq!(env.finish(7), Ok(7));
    }
}
