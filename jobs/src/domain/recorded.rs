//! A closed enum's value as it was recorded in an append-only log: [`Recorded`].

use schemars::JsonSchema;
use serde::Serialize;

/// A known value, or the text that another version of Postroom recorded. Rows of the logs are never
/// changed, so a text that was dropped from an enum stays readable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Recorded<T> {
    Known(T),
    /// Written by another version.
    Other(String),
}

impl<T> Recorded<T> {
    /// Reads a stored text with the enum's `parse`.
    pub fn read(text: String, parse: fn(&str) -> Option<T>) -> Self {
        match parse(&text) {
            Some(known) => Self::Known(known),
            None => Self::Other(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AuditAction;

    #[test]
    fn recorded_texts_stay_readable_when_their_value_is_gone() {
        let read = |text: &str| Recorded::read(text.to_owned(), AuditAction::parse);
        assert_eq!(
            read("job.submitted"),
            Recorded::Known(AuditAction::JobSubmitted)
        );
        assert_eq!(
            serde_json::to_value(read("job.sung")).unwrap(),
            serde_json::json!("job.sung")
        );
    }
}
