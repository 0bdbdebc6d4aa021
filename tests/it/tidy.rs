//! Rules about the code itself that no compiler holds: who may import whom, what is said where, how files look.
//!
//! The rules are those of ARCHITECTURE.md; a message names the file and the rule, so that a newcomer can mend it.

mod circles;
mod docs;
mod graph;
mod imports;
mod language;
mod names;
mod peers;
mod words;

use crate::support::sources::{self, Source};

/// No file is longer: one idea per file is read in one sitting.
const MAX_LINES: usize = 500;

/// Fails with every breach at once.
fn hold(breaches: Vec<String>) {
    assert!(
        breaches.is_empty(),
        "{} breach(es):\n{}",
        breaches.len(),
        breaches.join("\n")
    );
}

/// Breaches of "only these files may contain that", over the shipped code below some folders.
fn only_in(folders: &[&str], allowed: &[&str], needles: &[&str], rule: &str) -> Vec<String> {
    let outside = |source: &Source| {
        source.is_below(folders)
            && !allowed
                .iter()
                .any(|allowed| source.path.starts_with(allowed))
    };
    let mut breaches = Vec::new();
    for source in sources::rust().iter().filter(|source| outside(source)) {
        let code = source.code();
        let found = needles.iter().filter(|needle| code.contains(*needle));
        breaches.extend(found.map(|needle| format!("{}: `{needle}`: {rule}", source.path)));
    }
    breaches
}

#[test]
fn every_rust_file_is_short_and_says_what_it_is_for() {
    let mut breaches = Vec::new();
    for Source { path, text } in sources::rust() {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            breaches.push(format!("{path}: {lines} lines, {MAX_LINES} are the limit"));
        }
        // A crate's documentation is its README.
        let is_readme = text.starts_with("#![doc = include_str!(\"../README.md\")]");
        if !text.starts_with("//!") && !is_readme {
            breaches.push(format!("{path}: does not open with `//!`"));
        }
        if path.ends_with("/mod.rs") {
            breaches.push(format!("{path}: modules are `foo.rs` beside `foo/`"));
        }
    }
    hold(breaches);
}

#[test]
fn nothing_is_left_undone_or_silenced() {
    // Written apart, so that this file does not find itself.
    let refused = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("#[al", "low"),
        concat!("#![al", "low"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ];
    let mut breaches = Vec::new();
    for Source { path, text } in sources::rust() {
        let found = refused.iter().filter(|word| text.contains(*word));
        breaches.extend(found.map(|word| format!("{path}: `{word}`")));
    }
    hold(breaches);
}

#[test]
fn only_the_queue_and_the_store_hold_sql() {
    let needles = [
        "query!(",
        "query_as!(",
        "query_scalar!(",
        "query_unchecked!(",
        "sqlx::query(",
        "sqlx::query_as(",
        "sqlx::query_scalar(",
        "raw_sql(",
    ];
    // The yardsticks of `cargo dev bench` are Postgres without our queue: tables of nobody's, in no migration.
    // The oracle of `cargo dev chaos` must not share the statements, and with them the mistakes, of what it judges.
    let allowed = [
        "crates/queue/src/",
        // The callers' own tables, beside the queue's.
        "crates/queue/examples/",
        "jobs/src/schema.rs",
        "jobs/src/schema/",
        "jobs/src/store/",
        "dev/src/bench/",
        "dev/src/chaos/oracle.rs",
        // Asks Postgres' own catalog, and no table of ours.
        "dev/src/schema/catalog.rs",
    ];
    let crates = ["api/", "crates/", "jobs/", "worker/", "dev/"];
    hold(only_in(
        &crates,
        &allowed,
        &needles,
        "only the queue and jobs::store hold SQL",
    ));
}

#[test]
fn only_one_file_reads_the_environment() {
    let needles = ["env::var(", "env::vars(", "env::var_os(", "env::vars_os("];
    let crates = ["api/", "crates/", "jobs/", "worker/"];
    hold(only_in(
        &crates,
        &["crates/base/src/env.rs"],
        &needles,
        "variables are read through base::env",
    ));
}

#[test]
fn only_model_and_providers_reach_the_outside() {
    let needles = ["reqwest", "TcpStream::connect"];
    let allowed = [
        "crates/llm/",
        "worker/src/providers",
        // To Postgres, whose sockets sqlx does not hand out.
        "crates/base/src/db/relay",
        // To the collector of spans.
        "crates/base/src/telemetry/export",
    ];
    let crates = ["api/", "crates/", "jobs/", "worker/"];
    hold(only_in(
        &crates,
        &allowed,
        &needles,
        "only llm and worker::providers open connections",
    ));
}

#[test]
fn only_one_file_names_apalis() {
    let crates = [
        "api/",
        "crates/",
        "jobs/",
        "worker/",
        "dev/",
        "tests/it/support",
    ];
    hold(only_in(
        &crates,
        &["crates/queue/src/runtime/backend.rs"],
        &["apalis"],
        "apalis stays replaceable",
    ));
}

#[test]
fn only_the_error_file_of_the_api_knows_status_codes() {
    let allowed = ["api/src/error", "api/src/ops.rs"];
    hold(only_in(
        &["api/src/", "jobs/src/"],
        &allowed,
        &["StatusCode::"],
        "status codes are chosen in api::error",
    ));
}
