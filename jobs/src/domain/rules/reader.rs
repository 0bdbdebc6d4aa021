//! Reads a YAML tree and continues after a fault, so that all faults are reported at once.
//!
//! Serde stops at the first error; a person who edits rules wants the whole list, each with its place.

use super::RuleFault;
use super::regexes::RegexBudget;
use serde_yaml_ng::Value;

/// A value and its place in the document.
#[derive(Clone)]
pub(super) struct Node<'y> {
    pub(super) value: &'y Value,
    /// JSON pointer.
    pub(super) pointer: String,
}

/// Faults found so far, and what is left for regular expressions.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) found: Vec<RuleFault>,
    pub(super) regexes: RegexBudget,
}

impl Faults {
    pub(super) fn add(&mut self, pointer: &str, code: &'static str, message: impl Into<String>) {
        self.found.push(RuleFault {
            pointer: pointer.to_owned(),
            code,
            message: message.into(),
        });
    }
}

impl<'y> Node<'y> {
    pub(super) fn child(&self, key: &str, value: &'y Value) -> Self {
        // RFC 6901 §3.
        let key = key.replace('~', "~0").replace('/', "~1");
        Self {
            value,
            pointer: format!("{}/{key}", self.pointer),
        }
    }

    /// A field of a mapping; a null is an absent field.
    pub(super) fn field(&self, key: &str) -> Option<Self> {
        let value = self.value.as_mapping()?.get(key)?;
        (!value.is_null()).then(|| self.child(key, value))
    }

    /// Reports whether it is a mapping, and every field outside `known`.
    pub(super) fn is_mapping_of(&self, known: &[&str], faults: &mut Faults) -> bool {
        let Some(mapping) = self.value.as_mapping() else {
            faults.add(
                &self.pointer,
                "WRONG_TYPE",
                format!("must be a mapping, not {}", self.what()),
            );
            return false;
        };
        for key in mapping.keys() {
            match key.as_str() {
                Some(key) if known.contains(&key) => {}
                Some(key) => {
                    let hint = nearest(key, known).map_or_else(
                        || format!("known here: {}", known.join(", ")),
                        |near| format!("did you mean `{near}`?"),
                    );
                    let shown: String = key.chars().take(40).collect();
                    faults.add(
                        &self.child(key, key_value(mapping, key)).pointer,
                        "UNKNOWN_FIELD",
                        format!("`{shown}` is not known; {hint}"),
                    );
                }
                None => faults.add(&self.pointer, "WRONG_TYPE", "field names must be text"),
            }
        }
        true
    }

    pub(super) fn items(&self, faults: &mut Faults) -> Vec<Self> {
        match self.value {
            Value::Sequence(items) => items
                .iter()
                .enumerate()
                .map(|(n, item)| self.child(&n.to_string(), item))
                .collect(),
            _ => {
                faults.add(
                    &self.pointer,
                    "WRONG_TYPE",
                    format!("must be a list, not {}", self.what()),
                );
                Vec::new()
            }
        }
    }

    /// A list, or one value that stands for a list of one.
    pub(super) fn one_or_many(&self, faults: &mut Faults) -> Vec<Self> {
        match self.value {
            Value::Sequence(items) if items.is_empty() => {
                faults.add(
                    &self.pointer,
                    "EMPTY_LIST",
                    "the list is empty; leave the field out instead",
                );
                Vec::new()
            }
            Value::Sequence(_) => self.items(faults),
            _ => vec![self.clone()],
        }
    }

    pub(super) fn text(&self, max: usize, faults: &mut Faults) -> Option<&'y str> {
        let Some(text) = self.value.as_str() else {
            faults.add(
                &self.pointer,
                "WRONG_TYPE",
                format!("must be text, not {}", self.what()),
            );
            return None;
        };
        if text.trim().is_empty() {
            faults.add(&self.pointer, "BLANK", "must not be blank");
            return None;
        }
        if text.chars().count() > max {
            faults.add(
                &self.pointer,
                "TOO_LONG",
                format!("may have {max} characters"),
            );
            return None;
        }
        Some(text.trim())
    }

    pub(super) fn flag(&self, faults: &mut Faults) -> Option<bool> {
        if self.value.as_bool().is_none() {
            faults.add(
                &self.pointer,
                "WRONG_TYPE",
                format!("must be true or false, not {}", self.what()),
            );
        }
        self.value.as_bool()
    }

    pub(super) fn integer(
        &self,
        range: std::ops::RangeInclusive<i64>,
        faults: &mut Faults,
    ) -> Option<i64> {
        let number = self.value.as_i64().filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = range.into_inner();
            faults.add(
                &self.pointer,
                "OUT_OF_RANGE",
                format!("must be a whole number from {low} to {high}"),
            );
        }
        number
    }

    /// One of a closed list of texts.
    pub(super) fn word<T: Copy>(
        &self,
        all: &[T],
        as_str: fn(T) -> &'static str,
        faults: &mut Faults,
    ) -> Option<T> {
        let text = self.text(60, faults)?;
        let found = all.iter().copied().find(|item| as_str(*item) == text);
        if found.is_none() {
            let words: Vec<_> = all.iter().map(|item| as_str(*item)).collect();
            let near = nearest(text, &words)
                .map(|near| format!("did you mean `{near}`? "))
                .unwrap_or_default();
            faults.add(
                &self.pointer,
                "UNKNOWN_WORD",
                format!("`{text}` is not known; {near}one of: {}", words.join(", ")),
            );
        }
        found
    }

    fn what(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Tagged(_) => "a tagged value",
        }
    }
}

fn key_value<'y>(mapping: &'y serde_yaml_ng::Mapping, key: &str) -> &'y Value {
    mapping.get(key).unwrap_or(&Value::Null)
}

/// Finds the known name that a typo most likely meant: at most two edits away, and less than half of it.
fn nearest<'k>(typo: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|name| (distance(&typo.to_lowercase(), name), *name))
        .filter(|(edits, name)| *edits <= 2 && *edits * 2 <= name.len())
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance, over at most 40 characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(40).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(40).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_word_and_other_words_do_not() {
        let known = ["from", "to", "subject", "actions"];
        for (typo, found) in [
            ("form", Some("from")),
            ("subjet", Some("subject")),
            ("Actions", Some("actions")),
            ("x", None),
            ("rules", None),
        ] {
            assert_eq!(nearest(typo, &known), found, "{typo}");
        }
    }
}
