//! Boards, alerts and their handbook: they parse, they ask only for what the binaries export, and nothing is left undescribed.
//!
//! Whether every expression also *answers* is asked of a real Prometheus in [`live`].

mod live;

use crate::support::{
    boards::{self, BOARDS, SHIPPED, declared},
    sources,
};
use std::collections::BTreeSet;

/// Made by Prometheus itself at every scrape.
const OF_PROMETHEUS: [&str; 1] = ["up"];

/// Labels that Prometheus adds, and the bound of a histogram's bucket.
const COMMON_LABELS: [&str; 3] = ["job", "instance", "le"];

/// Every string literal of the shipped code, for the labels' values.
fn literals() -> BTreeSet<String> {
    sources::rust()
        .iter()
        .filter(|source| source.is_below(&SHIPPED))
        .flat_map(|source| {
            source
                .code()
                .split('"')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_expression_asks_for_metrics_and_labels_that_exist() {
    let declared = declared();
    let mut unknown = Vec::new();
    for query in boards::queries() {
        for metric in query.metrics() {
            if !declared.contains(&metric) && !OF_PROMETHEUS.contains(&metric.as_str()) {
                unknown.push(format!("{}: metric {metric}", query.owner));
            }
        }
        let selected = query
            .matchers()
            .into_iter()
            .map(|selection| selection.label);
        for label in selected.chain(query.grouped_by()) {
            if !declared.contains(&label) && !COMMON_LABELS.contains(&label.as_str()) {
                unknown.push(format!("{}: label {label}", query.owner));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn every_selected_label_value_occurs_in_the_code() {
    let mut known = literals();
    // Values that are made from a bool or a status code.
    known.extend(["true", "false", "501"].map(str::to_owned));
    let mut unknown = Vec::new();
    for query in boards::queries() {
        for selection in query
            .matchers()
            .iter()
            .filter(|selection| selection.label != "job")
        {
            let values = selection
                .values()
                .into_iter()
                .filter(|value| !known.contains(value));
            unknown.extend(
                values.map(|value| format!("{}: {}={value}", query.owner, selection.label)),
            );
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn every_panel_has_a_description_a_unit_and_the_chosen_data_source() {
    for path in BOARDS {
        let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
        for panel in boards::panels(path) {
            let title = panel["title"]
                .as_str()
                .expect("a panel has a title")
                .to_owned();
            assert!(
                panel["description"]
                    .as_str()
                    .is_some_and(|text| text.ends_with('.')),
                "{path}: {title}: description"
            );
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{path}: {title}: unit"
            );
            assert_eq!(
                panel["datasource"]["uid"], "${datasource}",
                "{path}: {title}"
            );
            assert!(
                ids.insert(panel["id"].as_u64()),
                "{path}: {title}: the id is used twice"
            );
            assert!(titles.insert(title), "{path}: two panels have one title");
        }
        let variables = &boards::board(path)["templating"]["list"];
        assert_eq!(
            variables[0]["type"], "datasource",
            "{path}: the data source is chosen by a variable"
        );
    }
}

#[test]
fn panels_of_a_board_do_not_overlap() {
    for path in BOARDS {
        let mut taken = BTreeSet::new();
        for panel in boards::panels(path) {
            let at = |key: &str| {
                panel["gridPos"][key]
                    .as_u64()
                    .expect("a panel has its place")
            };
            for (x, y) in (at("x")..at("x") + at("w"))
                .flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
            {
                assert!(x < 24, "{path}: {} is wider than the board", panel["title"]);
                assert!(
                    taken.insert((x, y)),
                    "{path}: {} lies on another panel",
                    panel["title"]
                );
            }
        }
    }
}

#[test]
fn handbook_has_a_runbook_for_every_alert() {
    let handbook = sources::read("dashboards/README.md");
    let runbook = handbook
        .split("# Runbook\n")
        .nth(1)
        .expect("the handbook has a runbook");
    let sections: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let alerts = boards::alerts();
    let names: BTreeSet<&str> = alerts
        .iter()
        .map(|alert| alert["alert"].as_str().unwrap())
        .collect();
    assert_eq!(sections, names);
}

/// The metrics that a line greps for: `grep -E '^postroom_(a|b)'`.
fn grepped(line: &str) -> Vec<String> {
    let alternatives = line
        .split_once("grep -E '^postroom_(")
        .and_then(|(_, rest)| rest.split_once(")'"));
    let names = alternatives.map_or("", |(names, _)| names).split('|');
    let names = names.filter(|name| !name.is_empty());
    names.map(|name| format!("postroom_{name}")).collect()
}

#[test]
fn handbook_greps_for_metrics_that_exist() {
    let declared = declared();
    let handbook = sources::read("dashboards/README.md");
    let asked: Vec<String> = handbook.lines().flat_map(grepped).collect();
    assert!(!asked.is_empty(), "the handbook greps for no metric");
    for metric in asked {
        assert!(declared.contains(&metric), "{metric}");
    }
}

#[test]
fn every_alert_says_how_urgent_it_is_and_where_its_runbook_is() {
    for alert in boards::alerts() {
        let name = alert["alert"].as_str().expect("an alert has a name");
        let severity = alert["labels"]["severity"].as_str();
        assert!(
            severity.is_some_and(|s| ["page", "ticket"].contains(&s)),
            "{name}: severity {severity:?}"
        );
        let runbook = format!("dashboards/README.md#{}", name.to_lowercase());
        assert_eq!(
            alert["annotations"]["runbook"].as_str(),
            Some(runbook.as_str()),
            "{name}"
        );
        assert!(
            alert["annotations"]["summary"]
                .as_str()
                .is_some_and(|text| text.ends_with('.')),
            "{name}: summary"
        );
    }
}

#[test]
fn every_alert_has_a_test_in_which_it_fires() {
    let tests: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&sources::read("dashboards/prometheus/rules_test.yml"))
            .expect("the tests are YAML");
    let checks = tests["tests"]
        .as_sequence()
        .expect("there are tests")
        .iter();
    let checks = checks.flat_map(|test| {
        test["alert_rule_test"]
            .as_sequence()
            .expect("a test checks alerts")
    });
    let fired: BTreeSet<&str> = checks
        .filter(|check| {
            check["exp_alerts"]
                .as_sequence()
                .is_some_and(|alerts| !alerts.is_empty())
        })
        .filter_map(|check| check["alertname"].as_str())
        .collect();
    let alerts = boards::alerts();
    let names: BTreeSet<&str> = alerts
        .iter()
        .map(|alert| alert["alert"].as_str().unwrap())
        .collect();
    assert_eq!(fired, names);
}

#[test]
fn deployment_files_are_yaml_and_fit_together() {
    let read = |path: &str| -> serde_yaml_ng::Value {
        serde_yaml_ng::from_str(&sources::read(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let sources = read("dashboards/provisioning/datasources/prometheus.yml");
    assert_eq!(
        sources["datasources"][0]["url"].as_str(),
        Some("http://prometheus:9090")
    );
    let provider = read("dashboards/provisioning/dashboards/postroom.yml");
    let folder = provider["providers"][0]["options"]["path"]
        .as_str()
        .expect("a folder of boards");
    let compose = read("dashboards/compose.yml");
    let services = compose["services"]
        .as_mapping()
        .expect("compose has services");
    let mounted = compose["services"]["grafana"]["volumes"]
        .as_sequence()
        .expect("grafana mounts the boards");
    for board in BOARDS.map(|path| path.trim_start_matches("dashboards/")) {
        let mount = format!("./{board}:{folder}/{board}:ro");
        assert!(
            mounted.iter().any(|volume| volume.as_str() == Some(&mount)),
            "compose.yml lacks {mount}"
        );
    }
    // Prometheus finds the processes by the names of the services.
    let prometheus = read("dashboards/prometheus/prometheus.yml");
    for scrape in prometheus["scrape_configs"]
        .as_sequence()
        .expect("there is something to scrape")
    {
        let target = scrape["static_configs"][0]["targets"][0]
            .as_str()
            .expect("a target");
        let host = target.split(':').next().unwrap_or_default();
        assert!(
            services.contains_key(host),
            "no service {host} in compose.yml"
        );
        assert_eq!(scrape["job_name"].as_str(), Some(host));
    }
}
