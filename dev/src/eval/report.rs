//! What an evaluation found: [`Report`], as tables for people and as JSON for programs. Pure.

use super::decision::{Decision, MinAccuracy};
use super::labels::Label;
use crate::table::RULED_HEADER;
use chrono::NaiveDate;
use comfy_table::{Cell, CellAlignment, Table};
use jobs::domain::llm::ModelName;
use llm::TokenUsage;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use worker::handlers::triage::evaluate::{Evaluation, EvaluationCost};

/// An email with its label and its judgement.
pub(super) struct JudgedEmail {
    pub(super) label: Label,
    pub(super) evaluation: Evaluation,
}

/// The result of an evaluation.
pub(super) struct Report {
    provider: String,
    model: String,
    /// The day of the prices.
    prices_of: NaiveDate,
    emails: Vec<JudgedEmail>,
}

/// Counts of emails by expected and by made decision.
type Matrix = BTreeMap<&'static str, BTreeMap<&'static str, usize>>;

impl JudgedEmail {
    /// Returns the expected and the made decision; they are the same if the made one is accepted.
    fn compared(&self, decision: Decision) -> (&'static str, &'static str) {
        let (expected, made) = (
            decision.expected(&self.label),
            decision.decided(&self.evaluation),
        );
        let is_accepted = expected.contains(&made);
        let best = expected.first().copied().unwrap_or_default();
        (if is_accepted { made } else { best }, made)
    }

    fn is_right(&self, decision: Decision) -> bool {
        let (expected, made) = self.compared(decision);
        expected == made
    }

    /// Lists the decisions that differ from the label.
    fn wrong(&self) -> impl Iterator<Item = (Decision, &'static str, &'static str)> {
        Decision::ALL.into_iter().filter_map(|decision| {
            let (expected, made) = self.compared(decision);
            (expected != made).then_some((decision, expected, made))
        })
    }
}

impl Report {
    pub(super) fn new(
        ModelName { provider, model }: ModelName<'_>,
        prices_of: NaiveDate,
        emails: Vec<JudgedEmail>,
    ) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            prices_of,
            emails,
        }
    }

    /// Counts the emails without a usable answer.
    pub(super) fn unanswered(&self) -> usize {
        let failed = |email: &&JudgedEmail| email.evaluation.failure.is_some();
        self.emails.iter().filter(failed).count()
    }

    /// Says which decisions fall short of what is wanted.
    pub(super) fn shortfalls(&self, wanted: &[MinAccuracy]) -> Vec<String> {
        let mut shortfalls = Vec::new();
        for MinAccuracy { decision, share } in wanted {
            let meant = |it: &Decision| decision.is_none_or(|named| named == *it);
            for decision in Decision::ALL.into_iter().filter(meant) {
                let accuracy = self.accuracy(decision);
                if accuracy < *share {
                    shortfalls.push(format!(
                        "The accuracy of {decision} is {accuracy:.3}, below {share}."
                    ));
                }
            }
        }
        shortfalls
    }

    fn accuracy(&self, decision: Decision) -> f64 {
        let right = self.emails.iter().filter(|email| email.is_right(decision));
        right.count() as f64 / self.emails.len().max(1) as f64
    }

    fn matrix(&self, decision: Decision) -> Matrix {
        let mut matrix = Matrix::new();
        for email in &self.emails {
            let (expected, made) = email.compared(decision);
            *matrix.entry(expected).or_default().entry(made).or_default() += 1;
        }
        matrix
    }

    fn cost(&self) -> EvaluationCost {
        let mut sum = EvaluationCost::default();
        for email in &self.emails {
            let EvaluationCost {
                requests,
                usage,
                micros,
                unpriced,
            } = email.evaluation.cost;
            sum.requests += requests;
            sum.usage += usage;
            sum.micros += micros;
            sum.unpriced += unpriced;
        }
        sum
    }

    /// Counts emails by language: all, and those without a wrong decision.
    fn by_language(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut counts = BTreeMap::<_, (usize, usize)>::new();
        for email in &self.emails {
            let (all, right) = counts.entry(email.label.language.as_str()).or_default();
            *all += 1;
            *right += usize::from(email.wrong().next().is_none());
        }
        counts
    }

    pub(super) fn as_json(&self) -> Value {
        let decisions = Decision::ALL.map(|decision| {
            let found =
                json!({ "accuracy": self.accuracy(decision), "matrix": self.matrix(decision) });
            (decision.as_str().to_owned(), found)
        });
        let wrong = self.emails.iter().flat_map(|email| {
            let file = email.label.file.as_str();
            email.wrong().map(move |(decision, expected, made)| {
                json!({ "file": file, "decision": decision.as_str(), "expected": expected, "made": made })
            })
        });
        let EvaluationCost {
            requests,
            usage: TokenUsage { input, output, .. },
            micros,
            unpriced,
        } = self.cost();
        json!({
            "provider": self.provider,
            "model": self.model,
            "emails": self.emails.len(),
            "unanswered": self.unanswered(),
            "decisions": decisions.into_iter().collect::<serde_json::Map<_, _>>(),
            "languages": self.by_language().into_iter().map(|(language, (all, right))| {
                (language.to_owned(), json!({ "emails": all, "right": right }))
            }).collect::<serde_json::Map<_, _>>(),
            "wrong": wrong.collect::<Vec<_>>(),
            "cost": {
                "requests": requests,
                "input_tokens": input,
                "output_tokens": output,
                "micros": micros,
                "unpriced_requests": unpriced,
                "prices_of": self.prices_of,
            },
        })
    }

    fn table(&self, decision: Decision) -> Table {
        let matrix = self.matrix(decision);
        let made: BTreeSet<_> = matrix.values().flat_map(BTreeMap::keys).copied().collect();
        let mut table = Table::new();
        table.load_style(RULED_HEADER);
        let header = [Cell::new("labelled \\ judged")];
        table.set_header(header.into_iter().chain(made.iter().map(Cell::new)));
        for (expected, row) in &matrix {
            let count = |made: &&str| match row.get(*made) {
                None => number(String::new()),
                Some(count) => number(count.to_string()),
            };
            table.add_row(
                [Cell::new(expected)]
                    .into_iter()
                    .chain(made.iter().map(count)),
            );
        }
        table
    }
}

fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for decision in Decision::ALL {
            let accuracy = self.accuracy(decision) * 100.0;
            writeln!(f, "{decision}: {accuracy:.1} % as labelled")?;
            writeln!(f, "{}\n", self.table(decision))?;
        }
        let languages = self.by_language().into_iter();
        let languages = languages.map(|(name, (all, right))| format!("{name} {right}/{all}"));
        let languages: Vec<_> = languages.collect();
        writeln!(
            f,
            "Entirely as labelled, by language: {}\n",
            languages.join(", ")
        )?;
        for email in &self.emails {
            let wrong = email.wrong().map(|(decision, expected, made)| {
                format!("{decision} {made}, labelled {expected}")
            });
            let wrong: Vec<_> = wrong.collect();
            if !wrong.is_empty() {
                let Label { file, language, .. } = &email.label;
                writeln!(f, "{file} ({language}): {}", wrong.join("; "))?;
                match &email.evaluation.failure {
                    Some(error) => writeln!(f, "    {error}")?,
                    None => writeln!(f, "    {}", email.evaluation.judgement.rationale)?,
                }
            }
        }
        let cost = self.cost();
        write!(
            f,
            "\n{} emails with {}/{}: {} requests, {} tokens in, {} out, ",
            self.emails.len(),
            self.provider,
            self.model,
            cost.requests,
            cost.usage.input,
            cost.usage.output,
        )?;
        match cost.unpriced {
            0 => write!(
                f,
                "USD {:.4} by the prices of {}.",
                cost.micros as f64 / 1e6,
                self.prices_of
            ),
            _ => write!(
                f,
                "cost unknown: LLM_PRICES_FILE has no price for this model."
            ),
        }
    }
}
