//! The documents name only what exists, and the pages that are printed from the code are up to date.

use super::hold;
use crate::support::{
    binaries::root,
    boards,
    sources::{self, Source},
};
use api::error::Code;
use jobs::domain::action::ActionType;
use std::collections::BTreeSet;

/// Every page a newcomer or an operator reads. Decisions are left out: they tell of what was, too.
fn documents() -> Vec<Source> {
    let mut sources = sources::all();
    sources.retain(|source| {
        source.path.ends_with(".md")
            && !source.is_below(&["docs/adr/", ".github/"])
            && !HISTORY.contains(&source.path.as_str())
    });
    sources
}

/// Written in the words of the day they tell of.
const HISTORY: [&str; 2] = ["CHANGELOG.md", "BENCHMARKS.md"];

/// What is found in every file that declares variables.
const OF_DECLARATIONS: &str = "Variable::";

/// The variables that the shipped code declares: what looks like one in a file that declares any.
fn variables_declared() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in sources::rust() {
        let code = source.code();
        if code.contains(OF_DECLARATIONS) {
            names.extend(literals(&code).filter(|word| is_variable(word)));
        }
    }
    names
}

/// The variables that docs/configuration.md is printed from.
fn variables_listed() -> BTreeSet<String> {
    let listed = dev::docs::configuration::names();
    listed.map(str::to_owned).collect()
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
    word.contains('_')
        && !word.ends_with('_')
        && !word.starts_with("CARGO_")
        && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
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

#[test]
fn printed_pages_are_what_the_code_prints_now() {
    let outdated = dev::docs::outdated(root());
    let names: Vec<_> = outdated.iter().map(|page| page.path).collect();
    assert!(names.is_empty(), "run `cargo dev docs`: {names:?}");
}

#[test]
fn configuration_lists_every_variable_that_is_declared() {
    let listed = variables_listed();
    let missing: Vec<_> = variables_declared()
        .into_iter()
        .filter(|name| !listed.contains(name))
        .collect();
    assert!(
        missing.is_empty(),
        "add these to the VARIABLES of their file, and the file's table to dev::docs::configuration: {missing:?}"
    );
}

#[test]
fn guide_describes_every_action_type() {
    let guide = sources::read("docs/api-guide.md");
    let actions = guide
        .split("\n## ")
        .find(|section| section.starts_with("Actions"));
    let described: BTreeSet<String> = actions
        .expect("the guide has a section `Actions`")
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|row| quoted(row.split('|').nth(1).unwrap_or_default()))
        .collect();
    hold(
        ActionType::ALL
            .iter()
            .filter(|kind| !described.contains(kind.as_str()))
            .map(|kind| format!("docs/api-guide.md: describe `{kind}` in the table of actions"))
            .collect(),
    );
}

#[test]
fn documents_name_only_variables_that_are_read() {
    let read = variables_listed();
    // Read by the tests alone, and by tools that are not ours.
    let others = [
        "POSTROOM_FULL",
        "POSTROOM_BIN_DIR",
        "SQLX_OFFLINE",
        "SQLX_OFFLINE_DIR",
    ];
    let mut breaches = Vec::new();
    for document in documents() {
        let named = quoted(&document.text)
            .into_iter()
            .map(|word| word.split('=').next().unwrap_or_default().to_owned());
        let unknown = named.filter(|word| {
            is_variable(word)
                && !read.contains(word)
                && !others.contains(&word.as_str())
                // Codes look like variables; docs/errors.md is printed from them.
                && !Code::ALL.iter().any(|code| code.as_str() == word)
        });
        breaches
            .extend(unknown.map(|word| format!("{}: `{word}` is read by nothing", document.path)));
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
        let beside = resolved(folder, name);
        files.iter().any(|path| {
            [name, beside.as_str()]
                .iter()
                .any(|wanted| path == wanted || path.starts_with(&format!("{wanted}/")))
        })
    };
    let mut breaches = Vec::new();
    for Source { path, text } in documents() {
        let folder = path
            .rsplit_once('/')
            .map_or(String::new(), |(folder, _)| format!("{folder}/"));
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
                .map(|word| format!("{path}: {word}")),
        );
    }
    hold(breaches);
}

/// A path relative to a folder, from the root: `docs/` and `../README.md` are `README.md`.
fn resolved(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A relative path: not a route, an address, a media type, a pattern or something with blanks.
fn looks_like_a_file(word: &str) -> bool {
    let extensions = [
        ".rs", ".md", ".json", ".yml", ".toml", ".sql", ".eml", ".svg",
    ];
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
        "crates/",
        "docs/",
        ".github/",
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
    let mut declared = boards::declared();
    declared.extend(
        sources::rust()
            .iter()
            .filter(|source| source.path.ends_with("metrics.rs"))
            .flat_map(|source| literals(&source.code()).collect::<Vec<_>>()),
    );
    let endings = [
        "_total",
        "_seconds",
        "_bytes",
        "_depth",
        "_inflight",
        "_running",
        "_slots",
    ];
    // Fields of the API end like metrics; they are named in its document.
    let document = sources::read("api/openapi.json");
    let is_field = |word: &str| document.contains(&format!("\"{word}\""));
    let mut breaches = Vec::new();
    for Source { path, text } in documents() {
        let named = quoted(&text).into_iter();
        let metrics = named.filter(|word| {
            word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                && endings.iter().any(|end| word.ends_with(end))
        });
        breaches.extend(
            metrics
                .filter(|word| !declared.contains(word) && !is_field(word))
                .map(|word| format!("{path}: {word}")),
        );
    }
    hold(breaches);
}
