//! [`Env`]: typed reads of environment variables, which report all invalid variables together.
//!
//! Never prints a value: a secret in the wrong variable must not end up in a log.

use secrecy::SecretString;
use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

/// The variables of a process, and those found invalid so far.
///
/// A reader returns a placeholder for an invalid variable, so that the remaining variables are read too. [`Env::finish`] then
/// fails, so a placeholder is never used.
pub struct Env {
    vars: HashMap<String, Option<String>>,
    invalid: Vec<InvalidVariable>,
}

/// A variable that is missing or invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVariable {
    pub name: &'static str,
    /// Completes the sentence that starts with the name, without the value: "is not set".
    pub problem: String,
    pub example: &'static str,
}

/// All invalid variables of a process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub invalid: Vec<InvalidVariable>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is invalid:")?;
        for InvalidVariable {
            name,
            problem,
            example,
        } in &self.invalid
        {
            write!(f, "\n  {name}: {problem} (example: {name}={example})")?;
        }
        Ok(())
    }
}

impl Env {
    /// Reads the variables of this process.
    pub fn from_process() -> Self {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok())))
            .collect();
        Self {
            vars,
            invalid: Vec::new(),
        }
    }

    /// Takes the given variables, for tests.
    pub fn from_vars<'a>(vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let vars = vars
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
            .collect();
        Self {
            vars,
            invalid: Vec::new(),
        }
    }

    /// Returns the trimmed value; `None` if it is unset or blank.
    pub fn optional(&mut self, name: &'static str, example: &'static str) -> Option<String> {
        match self.vars.get(name) {
            None => None,
            Some(Some(value)) if value.trim().is_empty() => None,
            Some(Some(value)) => Some(value.trim().to_owned()),
            Some(None) => {
                self.reject(name, "is not UTF-8", example);
                None
            }
        }
    }

    /// Returns the value, or the default if it is unset.
    pub fn text_or(&mut self, name: &'static str, default: &str, example: &'static str) -> String {
        self.optional(name, example)
            .unwrap_or_else(|| default.to_owned())
    }

    /// Returns a value that must be set.
    pub fn required(&mut self, name: &'static str, example: &'static str) -> String {
        let invalid = self.invalid.len();
        self.optional(name, example).unwrap_or_else(|| {
            if self.invalid.len() == invalid {
                self.reject(name, "is not set", example);
            }
            String::new()
        })
    }

    /// Returns a value that must be set and must never be printed.
    pub fn secret(&mut self, name: &'static str, example: &'static str) -> SecretString {
        self.required(name, example).into()
    }

    /// Parses the value, or returns the default if it is unset. `what` completes the sentence "is not …", for example "a
    /// socket address".
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
            self.reject(name, format!("is not {what}"), example);
            default
        })
    }

    /// Reads a duration in seconds, with fractions, above zero and at most a year.
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
            self.reject(
                name,
                "is not a number of seconds above zero and at most a year",
                example,
            );
            default
        }
    }

    /// Reads a switch: `true`, `false`, `1` or `0`; unset is off, and any other value is invalid.
    pub fn switch(&mut self, name: &'static str) -> bool {
        match self.optional(name, "true").as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(_) => {
                self.reject(name, "is neither true nor false", "true");
                false
            }
        }
    }

    /// Reports a variable as invalid; `problem` is as in [`InvalidVariable`].
    pub fn reject(
        &mut self,
        name: &'static str,
        problem: impl Into<String>,
        example: &'static str,
    ) {
        self.invalid.push(InvalidVariable {
            name,
            problem: problem.into(),
            example,
        });
    }

    /// Rejects `DEV_MODE`: development helpers are part of `cargo dev` and are not linked into the other binaries.
    pub fn refuse_dev_mode(&mut self) {
        if self.switch("DEV_MODE") {
            self.reject(
                "DEV_MODE",
                "is only for `cargo dev`; this binary has no development helpers",
                "false",
            );
        }
    }

    /// Returns `value` if all variables are valid.
    ///
    /// # Errors
    /// All invalid variables together.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.invalid.is_empty() {
            Ok(value)
        } else {
            Err(ConfigError {
                invalid: self.invalid,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_variables_are_reported_together_without_their_values() {
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
            "the configuration is invalid:\
             \n  PORT: is not a port (example: PORT=8080)\
             \n  LEASE: is not a number of seconds above zero and at most a year (example: LEASE=30)\
             \n  SWITCH: is neither true nor false (example: SWITCH=true)\
             \n  URL: is not set (example: URL=postgres://localhost/postroom)"
        );
    }

    #[test]
    fn unset_variables_have_their_defaults() {
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
