//! The figures of a benchmark, as JSON and as a table. See [`Finding`]. Pure.

use super::statistics::{median, spread};
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const RULED_HEADER: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// One figure of ours, with the same work in bare SQL and in peers, from the same run.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// `drain`, or `enqueue.8` if the benchmark has several figures.
    pub(super) bench: &'static str,
    /// The unit, for example `jobs/s`.
    pub(super) unit: &'static str,
    pub(super) ours: Vec<f64>,
    /// Bare SQL; none if there is no baseline.
    pub(super) raw: Option<Vec<f64>>,
    pub(super) peers: BTreeMap<&'static str, Vec<f64>>,
    /// Other measured values, for example WAL bytes per job.
    pub(super) detail: Vec<(&'static str, f64)>,
}

impl Finding {
    pub(super) fn new(bench: &'static str, unit: &'static str, ours: Vec<f64>) -> Self {
        Self {
            bench,
            unit,
            ours,
            raw: None,
            peers: BTreeMap::new(),
            detail: Vec::new(),
        }
    }

    #[must_use]
    pub(super) fn raw(mut self, raw: Vec<f64>) -> Self {
        self.raw = Some(raw);
        self
    }

    #[must_use]
    pub(super) fn detail(mut self, name: &'static str, value: f64) -> Self {
        self.detail.push((name, value));
        self
    }

    /// Renders `{"bench", "unit", "ours", "raw", "peers", "ratio", "detail"}`: medians, and ours as a multiple of the others.
    pub(super) fn line(&self) -> Value {
        let ours = median(&self.ours);
        let mut ratio = Map::new();
        let mut peers = Map::new();
        let others = self.peers.iter().map(|(name, values)| (*name, values));
        for (name, values) in self.raw.iter().map(|raw| ("raw", raw)).chain(others) {
            let theirs = median(values);
            if name != "raw" {
                peers.insert(name.to_owned(), rounded(theirs));
            }
            if theirs > 0.0 {
                ratio.insert(name.to_owned(), rounded(ours / theirs));
            }
        }
        let detail = self.detail.iter();
        let detail: Map<_, _> = detail
            .map(|(name, value)| ((*name).to_owned(), rounded(*value)))
            .collect();
        json!({
            "bench": self.bench,
            "unit": self.unit,
            "ours": rounded(ours),
            "raw": self.raw.as_ref().map(|raw| rounded(median(raw))),
            "peers": peers,
            "ratio": ratio,
            "detail": detail,
        })
    }
}

/// Renders the findings as a table: medians, with the spread of ours.
pub(super) fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table.load_style(RULED_HEADER);
    table.set_header([
        "bench", "unit", "ours", "±", "bare SQL", "× SQL", "peers", "details",
    ]);
    for finding in findings {
        let line = finding.line();
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let figure = |value: &Value| value.as_f64().map_or_else(|| "—".to_owned(), short);
        let peers = finding.peers.keys().map(|name| {
            let (figure, ratio) = (figure(&line["peers"][name]), figure(&line["ratio"][name]));
            format!("{name} {figure} (× {ratio})")
        });
        let peers = peers.collect::<Vec<_>>().join("\n");
        let detail = finding.detail.iter();
        let detail = detail.map(|(name, value)| format!("{name} {}", short(*value)));
        table.add_row(vec![
            Cell::new(finding.bench),
            Cell::new(finding.unit),
            right(figure(&line["ours"])),
            right(format!("{:.0} %", spread(&finding.ours) * 50.0)),
            right(figure(&line["raw"])),
            right(figure(&line["ratio"]["raw"])),
            Cell::new(if peers.is_empty() {
                "—".into()
            } else {
                peers
            }),
            Cell::new(detail.collect::<Vec<_>>().join("\n")),
        ]);
    }
    table
}

/// Rounds to three decimals, or to whole numbers from 100.
fn rounded(value: f64) -> Value {
    let digits = if value.abs() >= 100.0 { 1.0 } else { 1000.0 };
    json!((value * digits).round() / digits)
}

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain() -> Finding {
        let mut drain = Finding::new("drain", "jobs/s", vec![60_000.0, 40_000.0, 50_000.4])
            .raw(vec![100_000.0, 80_000.0])
            .detail("WAL bytes/job", 912.34);
        drain.peers.insert("graphile-worker", vec![40_000.0]);
        drain
    }

    #[test]
    fn line_has_medians_and_ours_as_a_multiple_of_the_others() {
        assert_eq!(
            drain().line().to_string(),
            r#"{"bench":"drain","unit":"jobs/s","ours":50000.0,"raw":90000.0,"peers":{"graphile-worker":40000.0},"ratio":{"raw":0.556,"graphile-worker":1.25},"detail":{"WAL bytes/job":912.0}}"#
        );
    }

    #[test]
    fn figure_without_a_baseline_has_the_same_shape() {
        assert_eq!(
            Finding::new("idle", "statements/s", vec![0.75])
                .line()
                .to_string(),
            r#"{"bench":"idle","unit":"statements/s","ours":0.75,"raw":null,"peers":{},"ratio":{},"detail":{}}"#
        );
    }

    #[test]
    fn table_shows_figures_ratios_and_details() {
        let text = table(&[drain()]).to_string();
        for shown in [
            "drain",
            "50000",
            "0.556",
            "graphile-worker 40000 (× 1.25)",
            "WAL bytes/job 912",
        ] {
            assert!(text.contains(shown), "{shown} is not in\n{text}");
        }
    }
}
