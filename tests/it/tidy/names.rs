//! How tests are called.

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
fn names_are_found_behind_their_attributes() {
    let text = "#[test]\nfn one() {}\n    #[tokio::test(flavor = \"x\")]\n    #[cfg(unix)]\n    async fn two() {}\nfn three() {}";
    assert_eq!(tests(text), [(2, "one"), (5, "two")]);
}
