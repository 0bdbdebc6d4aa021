//! README, ARCHITECTURE and the handbook name only what exists, and every variable the binaries read is documented.

use super::hold;
use crate::support::sources::{self, Source};
use api::error::Code;
use std::collections::BTreeSet;

/// The documents a newcomer or an operator reads.
const DOCUMENTS: [&str; 4] = [
    "README.md",
    "ARCHITECTURE.md",
    "dashboards/README.md",
    "migrations/README.md",
];

/// What is found in every file that reads variables, and in no other.
const OF_READERS: [&str; 4] = ["Env::", "&mut Env", "mut env: Env", "impl Env {"];

/// The variables that the shipped code of these folders reads: what looks like one in a file that is handed an `Env`.
fn variables_read(folders: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in sources::rust()
        .iter()
        .filter(|source| source.is_below(folders))
    {
        let code = source.code();
        if OF_READERS.iter().any(|mark| code.contains(mark)) {
            names.extend(literals(&code).filter(|word| is_variable(word)));
        }
    }
    names
}

fn literals(code: &str) -> impl Iterator<Item = String> {
    code.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

fn is_variable(word: &str) -> bool {
    word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// The words in backticks of a document, outside its code blocks.
fn quoted(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2);
    prose
        .flat_map(|part| {
            part.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The variables in the first column of README's configuration table.
fn variables_documented() -> BTreeSet<String> {
    let readme = sources::read("README.md");
    let section = readme
        .split("\n## Configuration")
        .nth(1)
        .expect("README has a section Configuration");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| quoted(row.split('|').nth(1).unwrap_or_default()))
        .collect()
}

#[test]
fn readme_documents_exactly_the_variables_that_are_read() {
    let (read, documented) = (
        variables_read(&["api/src", "jobs/src", "worker/src"]),
        variables_documented(),
    );
    let missing: Vec<_> = read.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "README's configuration table lacks {missing:?}"
    );
    let unknown: Vec<_> = documented.difference(&read).collect();
    assert!(
        unknown.is_empty(),
        "README documents {unknown:?}, which nothing reads"
    );
}

#[test]
fn documents_name_only_variables_that_are_read() {
    let read = variables_read(&["api/src", "jobs/src", "worker/src", "dev/src"]);
    // Read by the tests alone, and by tools that are not ours.
    let others = [
        "POSTROOM_FULL",
        "POSTROOM_TEST_DATABASE_URL",
        "POSTROOM_BIN_DIR",
        "SQLX_OFFLINE",
        "SQLX_OFFLINE_DIR",
    ];
    let mut breaches = Vec::new();
    for document in DOCUMENTS {
        let named = quoted(&sources::read(document))
            .into_iter()
            .map(|word| word.split('=').next().unwrap_or_default().to_owned());
        let unknown = named.filter(|word| {
            is_variable(word)
                && !read.contains(word)
                && !others.contains(&word.as_str())
                // Codes look like variables; `routes` holds them against the code.
                && !Code::ALL.iter().any(|code| code.as_str() == word)
        });
        breaches.extend(unknown.map(|word| format!("{document}: `{word}` is read by nothing")));
    }
    hold(breaches);
}

#[test]
fn documents_name_only_files_that_exist() {
    let files: Vec<String> = sources::all()
        .into_iter()
        .map(|Source { path, .. }| path)
        .collect();
    let exists = |folder: &str, name: &str| {
        let name = name.trim_end_matches('/').trim_start_matches("./");
        let beside = format!("{folder}{name}");
        files.iter().any(|path| {
            [name, beside.as_str()]
                .iter()
                .any(|wanted| path == wanted || path.starts_with(&format!("{wanted}/")))
        })
    };
    let mut breaches = Vec::new();
    for document in DOCUMENTS {
        let folder = document
            .rsplit_once('/')
            .map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let text = sources::read(document);
        let linked = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next())
            .map(str::to_owned);
        let named = quoted(&text)
            .into_iter()
            .chain(linked)
            .filter(|word| looks_like_a_file(word));
        breaches.extend(
            named
                .filter(|word| !exists(&folder, word))
                .map(|word| format!("{document}: {word}")),
        );
    }
    hold(breaches);
}

/// A relative path: not a route, an address, a media type, a pattern or something with blanks.
fn looks_like_a_file(word: &str) -> bool {
    let extensions = [".rs", ".md", ".json", ".yml", ".toml", ".sql", ".eml"];
    let folders = [
        "api/",
        "jobs/",
        "worker/",
        "dev/",
        "tests/",
        "migrations/",
        "dashboards/",
        ".ci/",
        ".sqlx/",
        ".config/",
    ];
    let plain = !word.is_empty()
        && !word.contains([' ', '*', '{', '<', '$', ':', '=', '('])
        && !word.starts_with('/')
        && !extensions.contains(&word);
    plain
        && (extensions.iter().any(|end| word.ends_with(end))
            || folders.iter().any(|start| word.starts_with(start)))
}

#[test]
fn documents_name_only_metrics_that_are_declared() {
    let declared: BTreeSet<String> = sources::rust()
        .iter()
        .filter(|source| source.path.ends_with("metrics.rs"))
        .flat_map(|source| literals(&source.code()).collect::<Vec<_>>())
        .collect();
    let endings = [
        "_total",
        "_seconds",
        "_bytes",
        "_depth",
        "_inflight",
        "_running",
        "_slots",
    ];
    let mut breaches = Vec::new();
    for document in DOCUMENTS {
        let named = quoted(&sources::read(document)).into_iter();
        let metrics = named.filter(|word| {
            word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                && endings.iter().any(|end| word.ends_with(end))
        });
        breaches.extend(
            metrics
                .filter(|word| !declared.contains(word))
                .map(|word| format!("{document}: {word}")),
        );
    }
    hold(breaches);
}
