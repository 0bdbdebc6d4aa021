//! Who may import whom: `base ← queue ← jobs ← {api, worker}`, `base ← llm ← worker`, nothing names `dev`; and the layers inside `jobs`.

use super::{graph, hold};
use crate::support::sources;

/// The layers of `jobs`: what a folder or file may name of its own crate.
const LAYERS: [(&str, &[&str]); 5] = [
    ("domain", &["domain"]),
    ("secrets", &[]),
    ("store", &["store", "domain", "secrets"]),
    ("kinds", &["kinds", "domain"]),
    (
        "commands",
        &["commands", "kinds", "store", "domain", "secrets"],
    ),
];

/// The packages of ours that a package may be built with.
const PACKAGES: [(&str, &[&str]); 7] = [
    ("crates/base", &[]),
    ("crates/queue", &["base"]),
    ("crates/llm", &["base"]),
    ("jobs", &["base", "queue"]),
    ("api", &["base", "queue", "jobs"]),
    ("worker", &["base", "queue", "llm", "jobs"]),
    // The worker is what `cargo dev bench` measures, and the documents are printed from both; nothing but the tests is
    // built with `dev`.
    ("dev", &["base", "queue", "llm", "jobs", "worker", "api"]),
];

/// What a package must not be built with, and why.
const REFUSED: [(&str, &str, &str); 4] = [
    ("api", "reqwest", "the API calls nobody"),
    ("jobs", "reqwest", "work is described here, not done"),
    ("jobs", "axum", "jobs do not know HTTP"),
    (
        "crates/queue",
        "mail-parser",
        "the queue knows nothing of email",
    ),
];

#[test]
fn layers_of_jobs_import_only_downwards() {
    let mut breaches = Vec::new();
    for node in graph::nodes() {
        let layer = LAYERS.iter().find(|(layer, _)| {
            node.module
                .starts_with(&["jobs".to_owned(), (*layer).to_owned()])
        });
        let Some((layer, allowed)) = layer else {
            continue;
        };
        for named in &node.names {
            if named[0] == "jobs" && !named.get(1).is_some_and(|n| allowed.contains(&n.as_str())) {
                breaches.push(format!(
                    "{}: names {}; {layer} may name {allowed:?}",
                    node.path,
                    named.join("::")
                ));
            }
        }
    }
    hold(breaches);
}

#[test]
fn domain_takes_only_identifiers_and_words_from_the_crates_below() {
    // What has I/O in it: the pool, the environment, the queue's statements.
    let refused = ["db", "env", "telemetry", "metrics"];
    let mut breaches = Vec::new();
    for node in graph::nodes() {
        if !node
            .module
            .starts_with(&["jobs".to_owned(), "domain".to_owned()])
        {
            continue;
        }
        for named in &node.names {
            let does_io = named[0] == "base"
                && named
                    .get(1)
                    .is_some_and(|name| refused.contains(&name.as_str()));
            if does_io {
                breaches.push(format!("{}: names {}", node.path, named.join("::")));
            }
        }
    }
    hold(breaches);
}

#[test]
fn packages_are_built_with_what_they_may_know() {
    let mut breaches = Vec::new();
    let ours = [
        "base", "queue", "llm", "jobs", "api", "worker", "dev", "tests",
    ];
    for (package, allowed) in PACKAGES {
        for name in dependencies(package) {
            if ours.contains(&name.as_str()) && !allowed.contains(&name.as_str()) {
                breaches.push(format!(
                    "{package}: depends on {name}; it may depend on {allowed:?} of ours"
                ));
            }
        }
    }
    for (package, refused, why) in REFUSED {
        if dependencies(package).iter().any(|name| name == refused) {
            breaches.push(format!("{package}: depends on {refused}; {why}"));
        }
    }
    hold(breaches);
}

/// The names in `[dependencies]`, not those for its tests.
fn dependencies(package: &str) -> Vec<String> {
    let text = sources::read(&format!("{package}/Cargo.toml"));
    let table = text.split("[dependencies]\n").nth(1).unwrap_or_default();
    let names = table.lines().take_while(|line| !line.starts_with('['));
    names
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
