//! The boards and rules of `dashboards/` as data: panels, alerts and every PromQL expression in them.

use super::sources;
use promql_parser::{
    parser::{self, Expr},
    util::{ExprVisitor, walk_expr},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// The Grafana boards.
pub(crate) const BOARDS: [&str; 2] = ["dashboards/queue.json", "dashboards/models.json"];

/// The alert rules.
pub(crate) const RULES: &str = "dashboards/prometheus/rules.yml";

/// Where the code is that the binaries are built from.
pub(crate) const SHIPPED: [&str; 4] = ["api/src", "crates", "worker/src", "jobs/src"];

/// The names and labels that `base::metrics!` declares, each name in full.
pub(crate) fn declared() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in sources::rust()
        .iter()
        .filter(|source| source.is_below(&SHIPPED) && source.path.ends_with("metrics.rs"))
    {
        let code = source.code();
        let Some((_, declarations)) = code.split_once("base::metrics! {") else {
            continue;
        };
        for line in declarations.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("#[name = \"") {
                names.extend(name.split('"').next().map(str::to_owned));
            } else if let Some((field, kind)) = line.split_once(": ")
                && kind.starts_with(|c: char| c.is_ascii_uppercase())
            {
                names.insert(format!("postroom_{field}"));
                let labels = kind.split_once('[').map_or("", |(_, labels)| labels);
                let labels = labels.split(']').next().unwrap_or_default().split(',');
                names.extend(labels.map(|label| label.trim().to_owned()));
            }
        }
    }
    names
}

/// One expression that Prometheus is asked.
pub(crate) struct Query {
    /// Panel or alert, for messages.
    pub(crate) owner: String,
    /// Without Grafana's variables.
    pub(crate) parsed: Expr,
}

/// One selection by a label, such as `outcome="discarded"` of `jobs_finished_total`.
pub(crate) struct Selection {
    pub(crate) metric: String,
    pub(crate) label: String,
    pub(crate) value: String,
}

/// A board as parsed JSON.
pub(crate) fn board(path: &str) -> Value {
    serde_json::from_str(&sources::read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The panels of a board that show something: not the rows between them.
pub(crate) fn panels(path: &str) -> Vec<Value> {
    let board = board(path);
    let panels = board["panels"].as_array().expect("a board has panels");
    panels
        .iter()
        .filter(|panel| panel["type"] != "row")
        .cloned()
        .collect()
}

/// The alerts: name, expression and the rest, as YAML has them.
pub(crate) fn alerts() -> Vec<serde_yaml_ng::Value> {
    let rules: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&sources::read(RULES)).expect("the rules are YAML");
    let groups = rules["groups"]
        .as_sequence()
        .expect("the rules have groups");
    groups
        .iter()
        .flat_map(|group| group["rules"].as_sequence().expect("a group has rules"))
        .cloned()
        .collect()
}

/// Every expression of boards and rules.
///
/// # Panics
/// If one does not parse.
pub(crate) fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for path in BOARDS {
        for panel in panels(path) {
            let title = panel["title"].as_str().expect("a panel has a title");
            for target in panel["targets"].as_array().expect("a panel has targets") {
                let expr = target["expr"].as_str().expect("a target has an expression");
                queries.push(Query::parse(format!("{path}: {title}"), expr));
            }
        }
    }
    for alert in alerts() {
        let expr = alert["expr"].as_str().expect("an alert has an expression");
        queries.push(Query::parse(
            alert["alert"]
                .as_str()
                .expect("an alert has a name")
                .to_owned(),
            expr,
        ));
    }
    queries
}

impl Query {
    fn parse(owner: String, expr: &str) -> Self {
        // What Grafana does before it asks: the interval of the panel, and "All" of every variable.
        let expr = expr.replace("$__rate_interval", "1m");
        let expr = ["$queue", "$provider", "$model"]
            .iter()
            .fold(expr, |expr, name| expr.replace(name, ".*"));
        let parsed =
            parser::parse(&expr).unwrap_or_else(|error| panic!("{owner}: {error}\n{expr}"));
        Self { owner, parsed }
    }

    /// The metrics asked for, with the suffixes of a histogram's series taken off.
    pub(crate) fn metrics(&self) -> Vec<String> {
        let mut seen = Selectors::of(&self.parsed).metrics;
        seen.sort();
        seen.dedup();
        seen
    }

    /// The labels that are selected by.
    pub(crate) fn matchers(&self) -> Vec<Selection> {
        Selectors::of(&self.parsed).selections
    }

    /// The labels that results are grouped by.
    pub(crate) fn grouped_by(&self) -> Vec<String> {
        Selectors::of(&self.parsed).groups
    }
}

impl Selection {
    /// The single values of an alternative without wildcards.
    pub(crate) fn values(&self) -> Vec<String> {
        let parts = self
            .value
            .split('|')
            .filter(|part| !part.contains(['.', '*']) && !part.is_empty());
        parts.map(str::to_owned).collect()
    }
}

#[derive(Default)]
struct Selectors {
    metrics: Vec<String>,
    selections: Vec<Selection>,
    groups: Vec<String>,
}

impl Selectors {
    fn of(expr: &Expr) -> Self {
        let mut seen = Self::default();
        walk_expr(&mut seen, expr).expect("this visitor does not fail");
        seen
    }
}

impl ExprVisitor for Selectors {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        let selector = match expr {
            Expr::VectorSelector(selector) => selector,
            Expr::MatrixSelector(matrix) => &matrix.vs,
            Expr::Aggregate(aggregate) => {
                let labels = aggregate
                    .modifier
                    .iter()
                    .flat_map(|modifier| &modifier.labels().labels);
                self.groups.extend(labels.cloned());
                return Ok(true);
            }
            _ => return Ok(true),
        };
        let name = selector
            .name
            .as_deref()
            .expect("a selector names its metric");
        let metric = base(name).to_owned();
        for matcher in &selector.matchers.matchers {
            self.selections.push(Selection {
                metric: metric.clone(),
                label: matcher.name.clone(),
                value: matcher.value.clone(),
            });
        }
        self.metrics.push(metric);
        Ok(true)
    }
}

/// `x_seconds_bucket` is a series of the metric `x_seconds`.
pub(crate) fn base(series: &str) -> &str {
    ["_bucket", "_count", "_sum"]
        .iter()
        .find_map(|suffix| series.strip_suffix(suffix))
        .unwrap_or(series)
}
