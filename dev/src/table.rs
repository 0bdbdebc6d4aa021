//! The results as a table. See [`table`].

use crate::submission::Outcome;
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use jobs::kinds::triage::Output;

pub(crate) const RULED_HEADER: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
const SENDER: usize = 20;
const SUBJECT: usize = 32;

/// The legend of the marks after an action.
pub const LEGEND: &str = "Actions: ? needs approval, ✗ is denied.";

/// Returns one row per email, in order of submission.
pub fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new();
    table.load_style(RULED_HEADER);
    table.set_header([
        "sender",
        "subject",
        "category",
        "disposition",
        "priority",
        "conf.",
        "actions",
        "source",
        "ms",
    ]);
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by_key(|outcome| outcome.index);
    for outcome in sorted {
        table.add_row(row(outcome));
    }
    table
}

fn row(outcome: &Outcome) -> Vec<Cell> {
    let ms = Cell::new(outcome.took.as_millis()).set_alignment(CellAlignment::Right);
    let why = match &outcome.job {
        Ok(job) => match &job.output {
            Some(result) => return judged(result, ms),
            None => job.error.as_ref().map_or_else(
                || job.state.clone(),
                |error| format!("{}: {}", job.state, error.message),
            ),
        },
        Err(reason) => reason.clone(),
    };
    let name = outcome.label.rsplit('/').next().unwrap_or_default();
    let mut cells = vec![
        Cell::new("—"),
        Cell::new(cut(name, SUBJECT)),
        Cell::new(cut(&why, 60)),
    ];
    cells.extend((0..5).map(|_| Cell::new("—")));
    cells.push(ms);
    cells
}

fn judged(result: &Output, ms: Cell) -> Vec<Cell> {
    let actions = result.actions.iter().map(|action| {
        let mark = match action.gate.as_str() {
            "auto" => "",
            "approval" => "?",
            _ => "✗",
        };
        format!("{}{mark}", action.r#type)
    });
    let actions: Vec<String> = actions.collect();
    let actions = match actions.as_slice() {
        [] => "—".to_owned(),
        several => several.join(", "),
    };
    let mut source = result.source.clone();
    for (holds, what) in [
        (result.injection_suspected, "injection?"),
        (result.degraded, "degraded"),
    ] {
        if holds {
            source = format!("{source}, {what}");
        }
    }
    vec![
        Cell::new(cut(name(&result.message.from), SENDER)),
        Cell::new(cut(&result.message.subject, SUBJECT)),
        Cell::new(&result.category),
        Cell::new(&result.disposition),
        Cell::new(&result.priority),
        Cell::new(format!("{:.2}", result.confidence)),
        Cell::new(actions),
        Cell::new(source),
        ms,
    ]
}

/// Returns the name in `Name <address>`, else the address.
fn name(from: &str) -> &str {
    let name = from.split_once('<').map_or(from, |(name, _)| name.trim());
    if name.is_empty() { from } else { name }
}

/// Cuts a text and removes control characters, which could change the terminal.
fn cut(text: &str, width: usize) -> String {
    let mut chars = text.chars().filter(|c| !c.is_control());
    let mut start: String = chars.by_ref().take(width).collect();
    if chars.next().is_some() {
        start.pop();
        start.push('…');
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sender_is_shown_by_name_if_there_is_one() {
        assert_eq!(name("Ana Sousa <ana@x.example>"), "Ana Sousa");
        assert_eq!(name("<ana@x.example>"), "<ana@x.example>");
        assert_eq!(name("ana@x.example"), "ana@x.example");
    }

    #[test]
    fn texts_are_cut_without_control_characters() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("a\u{1b}[31mb", 9), "a[31mb");
    }

    #[test]
    fn email_without_a_result_shows_the_reason() {
        let outcome = Outcome {
            index: 0,
            label: "x/broken.eml".into(),
            job: Err("the API answered 422".into()),
            took: Duration::from_millis(7),
        };
        let text = table(&[outcome]).to_string();
        assert!(
            text.contains("broken.eml") && text.contains("the API answered 422"),
            "{text}"
        );
    }
}
