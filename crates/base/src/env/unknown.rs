//! Variables that are set and that the process does not read: a misspelt one would leave its default in force.

use super::{Env, Variable};
use strsim::osa_distance;

/// So many letters may be wrong: a third would make one of our variables of another.
const TYPOS: usize = 2;

/// A variable that looks as if it were meant for the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    pub name: String,
    /// The variable that has almost its name.
    pub similar: Option<&'static str>,
}

impl UnknownVariable {
    /// Warns of the variable. Its value is not logged.
    pub fn warn(&self) {
        let Self { name, similar } = self;
        match similar {
            Some(similar) => tracing::warn!(
                variable = name,
                similar,
                "{name} is set and not known; is {similar} meant?"
            ),
            None => tracing::warn!(variable = name, "{name} is set and not known"),
        }
    }
}

impl Env {
    /// Lists what is set and begins with one of `prefixes` or almost has the name of a `known` variable, by name.
    pub fn unknown(&self, known: &[Variable], prefixes: &[&str]) -> Vec<UnknownVariable> {
        let is_known = |name: &str| known.iter().any(|variable| variable.name == name);
        let mut unknown: Vec<_> = self
            .vars
            .keys()
            .filter(|name| !is_known(name) && !self.named.contains(*name) && !is_service_link(name))
            .filter_map(|name| {
                let similar = similar(name, known);
                let is_ours = prefixes.iter().any(|prefix| name.starts_with(prefix));
                (is_ours || similar.is_some()).then(|| UnknownVariable {
                    name: name.clone(),
                    similar,
                })
            })
            .collect();
        unknown.sort_by(|a, b| a.name.cmp(&b.name));
        unknown
    }
}

fn similar(name: &str, known: &[Variable]) -> Option<&'static str> {
    let distances = known
        .iter()
        .map(|variable| (osa_distance(name, variable.name), variable.name));
    let (distance, nearest) = distances.min()?;
    // In short names, such as `CI`, two letters are most of it.
    (distance <= TYPOS && nearest.len() > 4 * TYPOS).then_some(nearest)
}

/// Whether Kubernetes sets it, in a cluster with a service of that name: `API_SERVICE_HOST`, `API_PORT_80_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    name.contains("_SERVICE_") || name.ends_with("_PORT") || name.contains("_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_variable_is_listed_with_the_one_that_is_meant() {
        let known = ["POSTROOM_ENV", "LLM_PROVIDER", "DATABASE_URL", "DEV"]
            .map(|name| Variable::switch(name, ""));
        let env = Env::from_vars([
            ("POSTROM_ENV", "production"),
            ("LLM_PROVIDR", "openai"),
            ("LLM_PROVIDER", "openai"),
            ("LLM_FLAVOUR", "x"),
            ("DATABASE_URLS", "x"),
            ("DE", "x"),
            ("PATH", "/bin"),
            ("LLM_SERVICE_HOST", "10.0.0.1"),
            ("LLM_PORT", "tcp://10.0.0.1:80"),
        ]);
        let unknown = env.unknown(&known, &["LLM_"]);
        let found: Vec<_> = unknown.iter().map(|it| (&*it.name, it.similar)).collect();
        assert_eq!(
            found,
            [
                ("DATABASE_URLS", Some("DATABASE_URL")),
                ("LLM_FLAVOUR", None),
                ("LLM_PROVIDR", Some("LLM_PROVIDER")),
                ("POSTROM_ENV", Some("POSTROOM_ENV")),
            ]
        );
    }
}
