//! What a person corrected of a former judgement: [`NewCorrection`], with excerpts of bounded length.

use super::{ApprovalId, UserId, action::ActionType};
use base::str_enum;
use serde_json::{Map, Value};

/// Corrections per person; the oldest make way.
pub const KEPT: i64 = 200;
/// How long a correction is kept.
pub const RETENTION_DAYS: i32 = 180;
const PROPOSED: usize = 300;
const CHOSEN: usize = 500;
const SENDER: usize = 320;
const SUBJECT: usize = 200;

str_enum! {
    /// How a person corrected a judgement.
    CorrectionKind {
        /// A proposed action was rejected.
        Rejected = "rejected",
        /// The parameters of a proposed action were changed.
        Changed = "changed",
        /// A draft was revised by instructions.
        Revised = "revised",
        /// A draft was discarded or rejected.
        Discarded = "discarded",
    }
}

impl CorrectionKind {
    /// Corrections that the prompt of a triage shows.
    pub const OF_TRIAGE: [Self; 2] = [Self::Rejected, Self::Changed];
    /// Corrections that the prompt of a draft shows.
    pub const OF_DRAFTS: [Self; 2] = [Self::Revised, Self::Discarded];
}

/// The email that was judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JudgedEmail {
    /// In lower case.
    pub sender: Option<String>,
    pub subject: Option<String>,
}

/// A correction to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCorrection {
    pub approval: ApprovalId,
    pub user: UserId,
    pub kind: CorrectionKind,
    pub action: ActionType,
    pub email: JudgedEmail,
    /// An excerpt of what was proposed.
    pub proposed: String,
    /// What the person wanted instead, in excerpts.
    pub chosen: Option<String>,
}

impl JudgedEmail {
    /// Names an email by its sender and subject, cut to their lengths.
    pub fn of(sender: Option<&str>, subject: &str) -> Self {
        Self {
            sender: sender.map(|sender| cut(&sender.to_lowercase(), SENDER)),
            subject: Some(cut(subject, SUBJECT)),
        }
    }
}

impl NewCorrection {
    /// Cuts the texts to their lengths.
    #[must_use]
    pub fn cut(self) -> Self {
        Self {
            proposed: cut(&self.proposed, PROPOSED),
            chosen: self.chosen.map(|chosen| cut(&chosen, CHOSEN)),
            ..self
        }
    }
}

/// Renders parameters in the order of their names, one `name: value` each, without those that are null.
pub fn shown_params(params: &Value) -> String {
    let empty = Map::new();
    let params = params.as_object().unwrap_or(&empty).iter();
    let mut shown: Vec<_> = params.filter(|(_, value)| !value.is_null()).collect();
    shown.sort_by_key(|(name, _)| *name);
    let shown = shown.into_iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}: {text}"),
        other => format!("{name}: {other}"),
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// Returns the start of a text, on one line.
fn cut(text: &str, max: usize) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn excerpts_are_bounded_and_on_one_line() {
        let long = "Ä\nb ".repeat(400);
        let correction = NewCorrection {
            approval: ApprovalId::new(),
            user: UserId::new(),
            kind: CorrectionKind::Changed,
            action: ActionType::CreateTask,
            email: JudgedEmail::of(Some(&long), &long),
            proposed: long.clone(),
            chosen: Some(long),
        }
        .cut();
        let lengths = [
            correction.email.sender,
            correction.email.subject,
            Some(correction.proposed),
            correction.chosen,
        ]
        .map(|text| {
            let text = text.unwrap();
            assert!(!text.contains('\n'));
            text.chars().count()
        });
        assert_eq!(lengths, [320, 200, 300, 500]);
    }

    #[test]
    fn parameters_are_shown_without_null_ones() {
        let params = json!({"title": "Pay", "due": null, "count": 2});
        assert_eq!(shown_params(&params), "count: 2; title: Pay");
        assert_eq!(shown_params(&Value::Null), "");
    }
}
