//! Who may import whom: `api → jobs ← worker`, everything → nothing of `dev`, and the layers inside `jobs`.

use super::hold;
use crate::support::sources::{self, Source};

/// The layers of `jobs`: what a folder or file may name of its own crate.
const LAYERS: [(&str, &[&str]); 9] = [
    ("jobs/src/clock.rs", &[]),
    ("jobs/src/coalesce.rs", &[]),
    ("jobs/src/env.rs", &[]),
    ("jobs/src/telemetry.rs", &[]),
    ("jobs/src/domain", &["domain"]),
    // The listener and the enqueuer own connections outside the pool, made from the pool's configuration.
    (
        "jobs/src/queue",
        &["queue", "domain", "clock", "coalesce", "db"],
    ),
    ("jobs/src/store", &["store", "domain", "secrets"]),
    ("jobs/src/kinds", &["kinds", "domain", "queue"]),
    (
        "jobs/src/commands",
        &[
            "commands",
            "kinds",
            "store",
            "queue",
            "domain",
            "clock",
            "coalesce",
            "db",
            "secrets",
            "telemetry",
        ],
    ),
];

/// The packages of ours that a package may be built with.
const PACKAGES: [(&str, &[&str]); 4] = [
    ("jobs/Cargo.toml", &[]),
    ("api/Cargo.toml", &["jobs"]),
    ("worker/Cargo.toml", &["jobs"]),
    // The worker is what `cargo dev bench` measures, and the documents are printed from both; nothing but the tests is
    // built with `dev`.
    ("dev/Cargo.toml", &["api", "jobs", "worker"]),
];

/// What a package must not be built with, and why.
const REFUSED: [(&str, &str, &str); 3] = [
    ("api/Cargo.toml", "reqwest", "the API calls nobody"),
    (
        "jobs/Cargo.toml",
        "reqwest",
        "work is described here, not done",
    ),
    ("jobs/Cargo.toml", "axum", "jobs do not know HTTP"),
];

#[test]
fn layers_of_jobs_import_only_downwards() {
    let mut breaches = Vec::new();
    for source in sources::rust() {
        let Some((layer, allowed)) = LAYERS
            .iter()
            .find(|(layer, _)| source.path.starts_with(layer))
        else {
            continue;
        };
        let upwards = source
            .imports()
            .into_iter()
            .filter(|import| !allowed.contains(&import.as_str()));
        breaches.extend(upwards.map(|import| {
            format!(
                "{}: names crate::{import}; {layer} may name {allowed:?}",
                source.path
            )
        }));
    }
    hold(breaches);
}

#[test]
fn queue_knows_of_the_domain_only_identifiers() {
    let ids = [
        "ids",
        "JobId",
        "TenantId",
        "WorkerId",
        "SessionId",
        "UserId",
    ];
    let mut breaches = Vec::new();
    for source in sources::rust()
        .iter()
        .filter(|source| source.is_below(&["jobs/src/queue"]))
    {
        let names = named_of(source, "domain")
            .into_iter()
            .filter(|name| !ids.contains(&name.as_str()));
        breaches.extend(names.map(|name| format!("{}: names domain::{name}", source.path)));
    }
    hold(breaches);
}

/// What the code names behind `module::`, one by one or in a flat group.
fn named_of(source: &Source, module: &str) -> Vec<String> {
    let code = source.code();
    let prefix = format!("{module}::");
    let mut names = Vec::new();
    for (at, _) in code.match_indices(&prefix) {
        let rest = &code[at + prefix.len()..];
        let group = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default(),
            None => rest
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .next()
                .unwrap_or_default(),
        };
        names.extend(
            group
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty()),
        );
    }
    names
}

#[test]
fn packages_are_built_with_what_they_may_know() {
    let mut breaches = Vec::new();
    for (manifest, allowed) in PACKAGES {
        let ours = ["api", "jobs", "worker", "dev", "tests"];
        let known = dependencies(manifest)
            .into_iter()
            .filter(|name| ours.contains(&name.as_str()));
        breaches.extend(
            known
                .filter(|name| !allowed.contains(&name.as_str()))
                .map(|name| {
                    format!("{manifest}: depends on {name}; it may depend on {allowed:?} of ours")
                }),
        );
    }
    for (manifest, refused, why) in REFUSED {
        if dependencies(manifest).iter().any(|name| name == refused) {
            breaches.push(format!("{manifest}: depends on {refused}; {why}"));
        }
    }
    hold(breaches);
}

/// The names in `[dependencies]`, not those for its tests.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = sources::read(manifest);
    let table = text.split("[dependencies]\n").nth(1).unwrap_or_default();
    let names = table.lines().take_while(|line| !line.starts_with('['));
    names
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
