//! Reads the answer of a model: [`Object`] finds its JSON object, reads single fields and folds what is written otherwise but
//! means the same. Knows no task: which fields matter is for the reader of the answer.

mod find;

use serde_json::{Map, Value};

/// The JSON object of an answer, or of a part of it.
pub(super) struct Object(Map<String, Value>);

/// The fault of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerFault {
    pub(super) class: AnswerFaultClass,
    /// For the model. May quote its answer, so it goes back as untrusted text and never into a log.
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerFaultClass {
    Json,
    Schema,
    Enum,
}

impl Object {
    /// Finds the object in the text, also between thoughts, prose and Markdown fences or inside another object. One with a field of
    /// `wanted` is preferred. Drops each NUL (`\u0000`), which Postgres does not store.
    pub(super) fn find(text: &str, wanted: &[&str]) -> Result<Self, AnswerFault> {
        let found = find::object(text, wanted)?;
        Ok(Self(without_nul(found)))
    }

    pub(super) fn of(map: &Map<String, Value>) -> Self {
        Self(map.clone())
    }

    /// Returns whether one of the fields says anything.
    pub(super) fn holds_any(&self, fields: &[&str]) -> bool {
        holds_any(&self.0, fields)
    }

    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// Returns whether the field is there and null.
    pub(super) fn is_null(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(Value::is_null)
    }

    /// Returns the text of a field; empty if it is absent or no text.
    pub(super) fn text(&self, field: &str) -> &str {
        self.0
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Reads a text that must be there.
    pub(super) fn required_text(&self, field: &str) -> Result<&str, AnswerFault> {
        let value = self.0.get(field).ok_or_else(|| missing(field))?;
        let not_text = || fault(AnswerFaultClass::Schema, format!("{field} must be text"));
        value.as_str().ok_or_else(not_text)
    }

    /// Reads a word of a closed set, whatever its capitals, spaces and marks.
    pub(super) fn word<T: Copy>(
        &self,
        field: &str,
        all: &[T],
        text_of: impl Fn(T) -> &'static str,
    ) -> Result<T, AnswerFault> {
        let word = folded(self.required_text(field)?);
        let found = all
            .iter()
            .copied()
            .find(|item| folded(text_of(*item)) == word);
        found.ok_or_else(|| {
            let known: Vec<_> = all.iter().map(|item| text_of(*item)).collect();
            let message = format!("{field} must be one of: {}", known.join(", "));
            fault(AnswerFaultClass::Enum, message)
        })
    }

    /// Reads a share of one, also from text and from percent; none if the field is absent.
    pub(super) fn share(&self, field: &str) -> Result<Option<f32>, AnswerFault> {
        let (number, percent) = match self.0.get(field) {
            None => return Ok(None),
            Some(Value::Number(number)) => (number.as_f64(), false),
            Some(Value::String(text)) => {
                let text = text.trim();
                let bare = text.trim_end_matches('%').trim_end().replace(',', ".");
                (bare.parse().ok(), text.ends_with('%'))
            }
            Some(_) => (None, false),
        };
        // Between 1 and 2 it is neither a share nor a likely percentage.
        let share = match number {
            Some(number) if percent || (2.0..=100.0).contains(&number) => Some(number / 100.0),
            other => other,
        };
        match share {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a number in [0, 1] loses only insignificant digits"
            )]
            Some(share) if (0.0..=1.0).contains(&share) => Ok(Some(share as f32)),
            _ => {
                let message = format!("{field} must lie between 0 and 1");
                Err(fault(AnswerFaultClass::Schema, message))
            }
        }
    }

    /// Reads a flag, also from text.
    pub(super) fn flag(&self, field: &str) -> Result<bool, AnswerFault> {
        match self.0.get(field) {
            None => Err(missing(field)),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if folded(text) == "true" => Ok(true),
            Some(Value::String(text)) if folded(text) == "false" => Ok(false),
            Some(_) => Err(fault(
                AnswerFaultClass::Schema,
                format!("{field} must be true or false"),
            )),
        }
    }
}

fn without_nul(map: Map<String, Value>) -> Map<String, Value> {
    let cleaned = map
        .into_iter()
        .map(|(key, value)| (key.replace('\0', ""), without_nul_in(value)));
    cleaned.collect()
}

fn without_nul_in(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "")),
        Value::Array(items) => items.into_iter().map(without_nul_in).collect(),
        Value::Object(map) => Value::Object(without_nul(map)),
        other => other,
    }
}

fn holds_any(map: &Map<String, Value>, fields: &[&str]) -> bool {
    fields
        .iter()
        .any(|field| map.get(*field).is_some_and(|value| !value.is_null()))
}

pub(super) fn missing(field: &str) -> AnswerFault {
    fault(AnswerFaultClass::Schema, format!("{field} is missing"))
}

fn fault(class: AnswerFaultClass, message: String) -> AnswerFault {
    AnswerFault { class, message }
}

/// Returns a word as compared: letters and digits in lower case, all else as one underscore between them.
pub(super) fn folded(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|part| !part.is_empty())
        .map(str::to_lowercase)
        .collect::<Vec<_>>()
        .join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nul_is_in_no_text_of_an_answer() {
        let text = r#"{"a\u0000": "x\u0000y", "b": [{"c": "\u0000"}, 1]}"#;
        let object = Object::find(text, &["a"]).ok().unwrap();
        assert_eq!(
            Value::Object(object.0),
            json!({"a": "xy", "b": [{"c": ""}, 1]})
        );
    }
}
