//! `docs/configuration.md`: every variable, from the tables that the parsers read.

use super::{head, table};
use crate::config;
use base::{
    db,
    env::{self, Unset, Variable},
    telemetry,
};
use jobs::secrets;

/// A heading and the variables below it.
type Section = (&'static str, Vec<Variable>);

fn sections() -> [Section; 5] {
    let both = [
        db::VARIABLES,
        secrets::VARIABLES,
        &[telemetry::LOG],
        telemetry::export::VARIABLES,
        env::VARIABLES,
    ];
    [
        ("Both processes", both.concat()),
        ("API", api::config::VARIABLES.to_vec()),
        ("Worker", worker::config::VARIABLES.to_vec()),
        ("Worker: the model", llm::config::variables()),
        ("`cargo dev`", config::VARIABLES.to_vec()),
    ]
}

/// Prints the page.
pub(super) fn page() -> String {
    let introduction = "\
Read from the environment when a process starts. Unset and blank are the same. All faults are reported together, each
with the variable's name and an example; a process that cannot work exits before it binds a port or claims a job.
Spans of time are seconds, fractions allowed; switches are `true`, `false`, `1` or `0`.
";
    let mut text = head("Configuration", introduction);
    for (heading, variables) in sections() {
        let rows = variables.iter().map(row);
        text.push_str(&format!("\n## {heading}\n\n"));
        text.push_str(&table(["variable", "default", "meaning"], rows));
    }
    text
}

/// The names of all variables that a process of ours reads.
pub fn names() -> impl Iterator<Item = &'static str> {
    let variables = sections().into_iter().flat_map(|(_, variables)| variables);
    variables.map(|variable| variable.name)
}

fn row(variable: &Variable) -> [String; 3] {
    let default = match variable.unset {
        Unset::Refused => "required".to_owned(),
        Unset::Default(default) => format!("`{default}`"),
        Unset::Means(meaning) => meaning.to_owned(),
    };
    [
        format!("`{}`", variable.name),
        default,
        variable.meaning.to_owned(),
    ]
}
