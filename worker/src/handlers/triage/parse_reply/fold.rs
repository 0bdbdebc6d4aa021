//! Reads single fields of an answer and folds what is written otherwise but means the same: [`Object`].

use super::{FaultClass, ReplyFault, fault, missing, without_fences};
use serde_json::{Map, Value};

/// The JSON object of an answer, or of one of its actions.
pub(super) struct Object(Map<String, Value>);

impl Object {
    /// Finds the object in the text. Some models put it inside another one, under the name of the schema.
    pub(super) fn find(text: &str) -> Result<Self, ReplyFault> {
        let parsed = serde_json::from_str::<Value>(without_fences(text));
        let mut map = match parsed {
            Ok(Value::Object(map)) => map,
            Ok(_) => {
                let message = "the answer must be one JSON object".to_owned();
                return Err(fault(FaultClass::Schema, message));
            }
            Err(error) => {
                let message = error.to_string().chars().take(400).collect();
                return Err(fault(FaultClass::Json, message));
            }
        };
        if map.len() == 1
            && let Some(Value::Object(inner)) = map.values_mut().next()
        {
            return Ok(Self(std::mem::take(inner)));
        }
        Ok(Self(map))
    }

    pub(super) fn of(map: &Map<String, Value>) -> Self {
        Self(map.clone())
    }

    /// Returns whether it says anything about the email.
    pub(super) fn holds_judgement(&self) -> bool {
        ["category", "disposition"]
            .iter()
            .any(|field| self.0.get(*field).is_some_and(|value| !value.is_null()))
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

    /// Reads a word of a closed set, whatever its capitals, spaces and marks.
    pub(super) fn word<T: Copy>(
        &self,
        field: &str,
        all: &[T],
        text_of: impl Fn(T) -> &'static str,
    ) -> Result<T, ReplyFault> {
        let value = self.0.get(field).ok_or_else(|| missing(field))?;
        let Some(text) = value.as_str() else {
            return Err(fault(FaultClass::Schema, format!("{field} must be text")));
        };
        let word = folded(text);
        let found = all
            .iter()
            .copied()
            .find(|item| folded(text_of(*item)) == word);
        found.ok_or_else(|| {
            let known: Vec<_> = all.iter().map(|item| text_of(*item)).collect();
            let message = format!("{field} must be one of: {}", known.join(", "));
            fault(FaultClass::Enum, message)
        })
    }

    /// Reads a share of one, also from text and from percent; none if the field is absent.
    pub(super) fn share(&self, field: &str) -> Result<Option<f32>, ReplyFault> {
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
                Err(fault(FaultClass::Schema, message))
            }
        }
    }

    /// Reads a flag, also from text.
    pub(super) fn flag(&self, field: &str) -> Result<bool, ReplyFault> {
        match self.0.get(field) {
            None => Err(missing(field)),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if folded(text) == "true" => Ok(true),
            Some(Value::String(text)) if folded(text) == "false" => Ok(false),
            Some(_) => Err(fault(
                FaultClass::Schema,
                format!("{field} must be true or false"),
            )),
        }
    }
}

/// Returns a word as compared: letters and digits in lower case, all else as one underscore between them.
pub(super) fn folded(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|part| !part.is_empty())
        .map(str::to_lowercase)
        .collect::<Vec<_>>()
        .join("_")
}
