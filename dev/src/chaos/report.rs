//! The result of a chaos run, as a table and as a line of JSON. See [`Report`].

use super::Verdict;
use comfy_table::Table;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Number of violations shown per promise; the rest is counted.
const SHOWN: usize = 3;

/// The result of a chaos run.
#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    pub duration: Duration,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// Commits whose reply was dropped.
    pub replies_lost: u64,
    pub clocks_skewed: bool,
    /// Emails that the API accepted.
    pub accepted: usize,
    /// Requests repeated with their idempotency key.
    pub retries: u64,
    pub ends: BTreeMap<String, i64>,
    pub lost_attempts: BTreeMap<String, i64>,
    /// None if the queue did not drain in time.
    pub drained_in: Option<Duration>,
    pub verdicts: Vec<Verdict>,
}

impl Report {
    /// Returns whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.drained_in.is_some() && self.verdicts.iter().all(Verdict::is_kept)
    }

    /// Returns the number of killed processes.
    pub fn kills(&self) -> u64 {
        let kills = self
            .faults
            .iter()
            .filter(|(name, _)| name.contains("SIGKILL"));
        kills.map(|(_, count)| count).sum()
    }

    /// Renders the report as tables.
    pub fn table(&self) -> String {
        let mut happened = Table::new();
        happened.set_header(["event", "count"]);
        for (fault, times) in &self.faults {
            happened.add_row([(*fault).to_owned(), times.to_string()]);
        }
        let more = [
            ("commits without a reply", self.replies_lost),
            ("requests repeated with their key", self.retries),
            ("jobs accepted", self.accepted as u64),
        ];
        for (what, times) in more {
            happened.add_row([what.to_owned(), times.to_string()]);
        }
        let ends = self
            .ends
            .iter()
            .map(|(state, n)| (format!("jobs {state}"), n));
        let lost = self.lost_attempts.iter();
        let lost = lost.map(|(outcome, n)| (format!("attempts {outcome}"), n));
        for (what, times) in ends.chain(lost) {
            happened.add_row([what, times.to_string()]);
        }
        let mut promises = Table::new();
        promises.set_header(["promise", "verdict"]);
        for verdict in &self.verdicts {
            promises.add_row([verdict.promise.to_owned(), verdict_text(verdict)]);
        }
        let drained = self.drained_in.map_or_else(
            || "BROKEN: jobs are left".to_owned(),
            |took| format!("kept, in {:.1} s", took.as_secs_f64()),
        );
        promises.add_row(["the queue drains after the faults end".to_owned(), drained]);
        let mut text = format!("{happened}\n{promises}\n");
        let skew = if self.clocks_skewed {
            "two workers' clocks were 90 s ahead and 45 s behind"
        } else {
            "clocks were not skewed: libfaketime is missing; `cargo dev test --fetch --full` fetches it"
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "seed {}, {} s; {skew}",
            self.seed,
            self.duration.as_secs()
        );
        text
    }

    /// Renders the report as JSON.
    pub fn json(&self) -> Value {
        let verdicts = self.verdicts.iter().map(|verdict| {
            json!({ "promise": verdict.promise, "kept": verdict.is_kept(), "breaches": verdict.violations.len() })
        });
        json!({
            "chaos": if self.is_clean() { "clean" } else { "broken" },
            "seed": self.seed,
            "seconds": self.duration.as_secs(),
            "accepted": self.accepted,
            "kills": self.kills(),
            "postgres_restarts": self.faults.get("Postgres crashed and restarted").copied().unwrap_or_default(),
            "faults": self.faults,
            "replies_lost": self.replies_lost,
            "clocks_skewed": self.clocks_skewed,
            "ends": self.ends,
            "lost_attempts": self.lost_attempts,
            "drained_seconds": self.drained_in.map(|took| took.as_secs_f64()),
            "verdicts": verdicts.collect::<Vec<_>>(),
        })
    }
}

fn verdict_text(verdict: &Verdict) -> String {
    if verdict.is_kept() {
        return "kept".to_owned();
    }
    let shown = verdict.violations.iter().take(SHOWN).cloned();
    let shown = shown.collect::<Vec<_>>().join(", ");
    format!("BROKEN {} times: {shown}", verdict.violations.len())
}
