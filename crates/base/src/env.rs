//! Typed reads of environment variables. Every fault is collected, so that one start names them all.
//!
//! See [`Env`] and [`Variable`]. Never prints a value: a secret in the wrong variable must not end up in a log.

use secrecy::SecretString;
use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

/// One variable of a process: declared once beside the configuration that reads it, and printed into
/// docs/configuration.md by `cargo dev docs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    /// One sentence for the person who sets it.
    pub meaning: &'static str,
    pub unset: Unset,
    /// A value that would be accepted; shown with every fault.
    pub example: &'static str,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// The process does not start.
    Refused,
    /// This value is used.
    Default(&'static str),
    /// The process goes without it; how, in a word or two for the documentation.
    Means(&'static str),
}

impl Variable {
    /// Without it the process does not start.
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

    /// The default is written as a user would write it, and parsed like a value of theirs.
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

    /// May be left out; `unset` says in a word or two what holds then.
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

    /// A switch that is off unless it is set.
    pub const fn switch(name: &'static str, meaning: &'static str) -> Self {
        Self::optional(name, "true", "off", meaning)
    }

    /// The same variable with an example that is not its default.
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

/// What every process reads.
pub const VARIABLES: &[Variable] = &[DEV_MODE];

const DEV_MODE: Variable = Variable::switch(
    "DEV_MODE",
    "Refused when on: development helpers live in `cargo dev`",
);

/// The variables of one process and the faults found in them so far.
///
/// Readers return a stand-in after a fault, so that the remaining variables are read too; [`Env::finish`] turns any
/// fault into an error, so a stand-in is never used.
pub struct Env {
    vars: HashMap<String, Option<String>>,
    faults: Vec<InvalidVariable>,
}

/// One variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVariable {
    pub name: &'static str,
    /// What is wrong, without the value.
    pub problem: String,
    pub example: &'static str,
}

/// All faults of a configuration.
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

    /// The variable's value; unset and blank are the same. Knows nothing of defaults.
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

    /// The variable's value or its default.
    pub fn text(&mut self, variable: Variable) -> String {
        self.optional(variable)
            .unwrap_or_else(|| variable.default().to_owned())
    }

    /// A value that must be there and must never be printed.
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

    /// The value or the default, parsed. `what` completes the sentence "is not …", for example "a socket address".
    ///
    /// # Panics
    /// If the variable's default does not parse: the first start of the process shows it.
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

    /// A span of time in seconds, fractions allowed, above zero and at most a year.
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

    /// A switch: `true`, `false`, `1` or `0`; unset is off. Anything else is a fault, not a guess.
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

    pub fn fault(&mut self, variable: Variable, problem: impl Into<String>) {
        self.faults.push(InvalidVariable {
            name: variable.name,
            problem: problem.into(),
            example: variable.example,
        });
    }

    /// Refuses `DEV_MODE`: what makes a developer's life easy lives in `cargo dev` and is not linked in here.
    pub fn refuse_dev_mode(&mut self) {
        if self.switch(DEV_MODE) {
            self.fault(
                DEV_MODE.example("false"),
                "is only for `cargo dev`; this binary has no development helpers",
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

    const PORT: Variable = Variable::with_default("PORT", "8080", "A port");
    const LEASE: Variable = Variable::with_default("LEASE", "30", "A span of time");
    const SWITCH: Variable = Variable::switch("SWITCH", "A switch");
    const URL: Variable = Variable::required("URL", "postgres://localhost/postroom", "An address");
    const NAME: Variable = Variable::with_default("NAME", "postroom", "A name");

    #[test]
    fn all_faults_are_reported_together_without_values() {
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
    fn defaults_stand_where_nothing_is_set() {
        let mut env = Env::from_vars([("LEASE", "0.5")]);
        assert_eq!(env.seconds(LEASE), Duration::from_millis(500));
        assert_eq!(env.parse::<u16>(PORT, "a port"), 8080);
        assert_eq!(env.text(NAME), "postroom");
        assert!(!env.switch(SWITCH));
        assert_eq!(env.finish(7), Ok(7));
    }
}
