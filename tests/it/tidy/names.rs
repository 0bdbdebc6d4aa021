//! How tests are called, and what documentation need not say.

use super::hold;
use crate::support::sources::{self, Source};

/// The names of the tests in a file, with their lines.
fn tests(text: &str) -> Vec<(usize, &str)> {
    let mut is_test = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if is_test && !line.starts_with("#[") {
            is_test = false;
            let name = line.split_once("fn ").map(|(_, rest)| rest);
            let name = name.and_then(|rest| rest.split('(').next());
            found.extend(name.map(|name| (number, name)));
        }
    }
    found
}

/// Whether documentation only says that the database may fail, which every function that speaks with it may.
fn says_nothing(errors: &str) -> bool {
    let ways = [
        "refuses",
        "does not answer",
        "does not answer in time",
        "fails",
        "cannot be reached",
    ];
    let database = ["When", "If"].iter().any(|word| {
        let way = errors.strip_prefix(&format!("{word} the database "));
        way.and_then(|way| way.strip_suffix('.'))
            .is_some_and(|way| ways.contains(&way))
    });
    // The signature names it.
    let names_the_type = errors.starts_with("See [`") && errors.ends_with("`].");
    database || names_the_type
}

#[test]
fn tests_have_names_without_an_article() {
    let mut breaches = Vec::new();
    for Source { path, text } in sources::rust() {
        let articles = ["a_", "an_", "the_"];
        let named = tests(&text).into_iter();
        breaches.extend(
            named
                .filter(|(_, name)| articles.iter().any(|article| name.starts_with(article)))
                .map(|(line, name)| format!("{path}:{line}: {name}: begin with the noun")),
        );
    }
    hold(breaches);
}

#[test]
fn sections_of_errors_say_more_than_that_the_database_may_fail() {
    let mut breaches = Vec::new();
    for Source { path, text } in sources::rust() {
        let doc = |line: &str| line.trim_start().strip_prefix("/// ").map(str::to_owned);
        let lines: Vec<Option<String>> = text.lines().map(doc).collect();
        for (number, window) in (1..).zip(lines.windows(3)) {
            let [Some(head), Some(errors), after] = window else {
                continue;
            };
            if head == "# Errors" && after.is_none() && says_nothing(errors) {
                breaches.push(format!("{path}:{number}: {errors} Leave the section out"));
            }
        }
    }
    hold(breaches);
}

#[test]
fn names_are_found_behind_their_attributes() {
    let text = "#[test]\nfn one() {}\n    #[tokio::test(flavor = \"x\")]\n    #[cfg(unix)]\n    async fn two() {}\nfn three() {}";
    assert_eq!(tests(text), [(2, "one"), (5, "two")]);
}
