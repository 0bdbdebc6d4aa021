//! One word per thing: the states of a job are the same in the code, in the OpenAPI document and on the boards. The
//! tables' are held by `schema::words`.

use crate::support::{boards, sources};
use queue::JobState;
use serde_json::Value;
use std::collections::BTreeSet;

fn states() -> BTreeSet<String> {
    JobState::ALL
        .iter()
        .map(|state| state.as_str().to_owned())
        .collect()
}

#[test]
fn openapi_document_lists_exactly_the_states_of_the_code() {
    fn constants(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, value)| match (key.as_str(), value) {
                    ("const", Value::String(state)) => drop(found.insert(state.clone())),
                    ("enum", Value::Array(states)) => {
                        found.extend(states.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    (_, value) => constants(value, found),
                }),
            Value::Array(values) => values.iter().for_each(|value| constants(value, found)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(&sources::read("api/openapi.json")).unwrap();
    let mut listed = BTreeSet::new();
    constants(&document["components"]["schemas"]["JobState"], &mut listed);
    assert_eq!(listed, states());
}

#[test]
fn boards_and_rules_select_only_states_that_exist() {
    let mut selected = BTreeSet::new();
    for query in boards::queries() {
        // The pool's connections have states of their own.
        let of_jobs = query
            .matchers()
            .into_iter()
            .filter(|m| m.label == "state" && m.metric == "postroom_queue_depth");
        selected.extend(of_jobs.flat_map(|m| m.values()));
    }
    assert!(!selected.is_empty(), "no board selects by state any more");
    let known = states();
    let unknown: Vec<_> = selected.difference(&known).collect();
    assert!(unknown.is_empty(), "no job is ever {unknown:?}");
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let mut numbers: Vec<u32> = sources::all()
        .iter()
        .filter_map(|source| {
            source
                .path
                .strip_prefix("migrations/")?
                .strip_suffix(".sql")?
                .split('_')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    let expected: Vec<u32> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}
