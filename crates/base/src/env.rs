//! [`Env`]: typed reads of environment variables, which report all invalid variables together.
//!
//! Never prints a value: a secret in the wrong variable must not end up in a log.

mod unknown;

pub use unknown::UnknownVariable;

use secrecy::SecretString;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
    time::Duration,
};

/// A variable of a process, declared beside the configuration that reads it. `cargo dev docs` prints it into
/// docs/configuration.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    /// A phrase that explains it to the person who sets it.
    pub meaning: &'static str,
    pub unset: Unset,
    /// A valid value, shown when the variable is invalid.
    pub example: &'static str,
}

/// The meaning of a variable that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// The process does not start.
    Refused,
    /// This value is used.
    Default(&'static str),
    /// The process runs without it; the text says how, in a word or two for the documentation.
    Means(&'static str),
}

impl Variable {
    /// Declares a variable without which the process does not start.
    pub const fn required(
        name: &'static str,
        example: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            meaning,
            unset: Unset::Refused,
            example,
        }
    }

    /// Declares a variable with a default, which is written and parsed like a value that a user sets.
    pub const fn with_default(
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            meaning,
            unset: Unset::Default(default),
            example: default,
        }
    }

    /// Declares an optional variable; `unset` says in a word or two what it means if it is not set.
    pub const fn optional(
        name: &'static str,
        example: &'static str,
        unset: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            meaning,
            unset: Unset::Means(unset),
            example,
        }
    }

    /// Declares a switch that is off unless it is set.
    pub const fn switch(name: &'static str, meaning: &'static str) -> Self {
        Self::optional(name, "true", "off", meaning)
    }

    /// Returns the same variable with an example other than its default.
    #[must_use]
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    const fn default(self) -> &'static str {
        match self.unset {
            Unset::Default(default) => default,
            Unset::Refused | Unset::Means(_) => "",
        }
    }
}

/// The variables of every process.
pub const VARIABLES: &[Variable] = &[DEV_MODE];

const DEV_MODE: Variable = Variable::switch(
    "DEV_MODE",
    "Refused when on: development helpers live in `cargo dev`",
);

/// The variables of a process, and those found invalid so far.
///
/// A reader returns a placeholder for an invalid variable, so that the remaining variables are read too. [`Env::finish`] then
/// fails, so a placeholder is never used.
pub struct Env {
    vars: HashMap<String, Option<String>>,
    /// Those that a configuration file names.
    named: HashSet<String>,
    faults: Vec<InvalidVariable>,
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
    pub faults: Vec<InvalidVariable>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        for InvalidVariable {
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
    /// Reads the variables of this process.
    pub fn from_process() -> Self {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok())))
            .collect();
        Self {
            vars,
            named: HashSet::new(),
            faults: Vec::new(),
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
            named: HashSet::new(),
            faults: Vec::new(),
        }
    }

    /// Returns the trimmed value, never the default; `None` if it is unset or blank.
    pub fn optional(&mut self, variable: Variable) -> Option<String> {
        match self.vars.get(variable.name) {
            None => None,
            Some(Some(value)) if value.trim().is_empty() => None,
            Some(Some(value)) => Some(value.trim().to_owned()),
            Some(None) => {
                self.fault(variable, "is not UTF-8");
                None
            }
        }
    }

    /// Returns the value or the default.
    pub fn text(&mut self, variable: Variable) -> String {
        self.optional(variable)
            .unwrap_or_else(|| variable.default().to_owned())
    }

    /// Returns the trimmed value of a variable that a configuration file names; `None` if it is unset, blank or not UTF-8.
    pub fn named(&mut self, name: &str) -> Option<String> {
        self.named.insert(name.to_owned());
        let value = self.vars.get(name)?.as_deref()?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// Returns a value that must be set and must never be printed.
    pub fn secret(&mut self, variable: Variable) -> SecretString {
        let faults = self.faults.len();
        let value = self.optional(variable).unwrap_or_else(|| {
            if self.faults.len() == faults {
                self.fault(variable, "is not set");
            }
            String::new()
        });
        value.into()
    }

    /// Parses the value or the default. `what` completes the sentence "is not …", for example "a socket address".
    ///
    /// # Panics
    /// If the variable's default does not parse, which the first start of the process shows.
    pub fn parse<T: FromStr>(&mut self, variable: Variable, what: &str) -> T {
        let parsed = self.optional(variable).map(|value| value.parse().ok());
        if let Some(None) = parsed {
            self.fault(variable, format!("is not {what}"));
        }
        parsed.flatten().unwrap_or_else(|| {
            let default = variable.default().parse().ok();
            default.expect("the default of a variable parses")
        })
    }

    /// Reads a duration in seconds, with fractions, above zero and at most a year.
    ///
    /// # Panics
    /// As [`Env::parse`].
    pub fn seconds(&mut self, variable: Variable) -> Duration {
        let seconds: f64 = self.parse(variable, "a number of seconds");
        if seconds.is_finite() && seconds > 0.0 && seconds <= 31_536_000.0 {
            Duration::from_secs_f64(seconds)
        } else {
            self.fault(
                variable,
                "is not a number of seconds above zero and at most a year",
            );
            Duration::from_secs(1)
        }
    }

    /// Reads a switch: `true`, `false`, `1` or `0`; unset is off, and any other value is invalid.
    pub fn switch(&mut self, variable: Variable) -> bool {
        match self.optional(variable).as_deref() {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(_) => {
                self.fault(variable, "is neither true nor false");
                false
            }
        }
    }

    /// Reports a variable as invalid; `problem` is as in [`InvalidVariable`].
    pub fn fault(&mut self, variable: Variable, problem: impl Into<String>) {
        self.faults.push(InvalidVariable {
            name: variable.name,
            problem: problem.into(),
            example: variable.example,
        });
    }

    /// Rejects `DEV_MODE`: development helpers are part of `cargo dev` and are not linked into the other binaries.
    pub fn refuse_dev_mode(&mut self) {
        if self.switch(DEV_MODE) {
            self.fault(
                DEV_MODE.example("false"),
                "is only for `cargo dev`; this binary has no development helpers",
            );
        }
    }

    /// Returns `value` if all variables are valid.
    ///
    /// # Errors
    /// All invalid variables together.
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

    const PORT: Variable = Variable::with_default("PORT", "8080", "A port");
    const LEASE: Variable = Variable::with_default("LEASE", "30", "A span of time");
    const SWITCH: Variable = Variable::switch("SWITCH", "A switch");
    const URL: Variable = Variable::required("URL", "postgres://localhost/postroom", "An address");
    const NAME: Variable = Variable::with_default("NAME", "postroom", "A name");

    #[test]
    fn invalid_variables_are_reported_together_without_their_values() {
        let mut env = Env::from_vars([
            ("PORT", "hunter2"),
            ("LEASE", "-1"),
            ("SWITCH", "maybe"),
            ("URL", "  "),
        ]);
        assert_eq!(env.parse::<u16>(PORT, "a port"), 8080);
        env.seconds(LEASE);
        env.switch(SWITCH);
        env.secret(URL);
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
    fn unset_variables_have_their_defaults() {
        let mut env = Env::from_vars([("LEASE", "0.5")]);
        assert_eq!(env.seconds(LEASE), Duration::from_millis(500));
        assert_eq!(env.parse::<u16>(PORT, "a port"), 8080);
        assert_eq!(env.text(NAME), "postroom");
        assert!(!env.switch(SWITCH));
        assert_eq!(env.finish(7), Ok(7));
    }
}
