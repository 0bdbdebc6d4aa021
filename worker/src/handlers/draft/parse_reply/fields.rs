//! Reads the fields of a draft's answer that small models write otherwise than asked: [`list`] and [`confidence`].

use crate::handlers::answer::{AnswerFault, Object, folded};
use jobs::domain::draft::Confidence;
use serde_json::Value;

/// Reads a list of texts: a text alone is its only item, and other items are dropped.
pub(super) fn list<'a>(object: &'a Object, field: &str) -> Vec<&'a str> {
    match object.get(field) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(item)) if !matches!(folded(item).as_str(), "" | "none") => vec![item],
        _ => Vec::new(),
    }
}

/// Reads the confidence: its word in any capitals, or a share of one.
pub(super) fn confidence(object: &Object) -> Result<Confidence, AnswerFault> {
    match object.share("confidence") {
        Ok(Some(0.8..)) => Ok(Confidence::High),
        Ok(Some(0.5..)) => Ok(Confidence::Medium),
        Ok(Some(_)) => Ok(Confidence::Low),
        _ => object.word("confidence", Confidence::ALL, Confidence::as_str),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        Object::find(&json!({ "it": value }).to_string(), &[]).unwrap()
    }

    #[test]
    fn list_holds_the_texts_of_whatever_was_written() {
        for (value, items) in [
            (json!(["a", 1, {"b": "c"}, null, "d"]), vec!["a", "d"]),
            (json!("It is the same Ann."), vec!["It is the same Ann."]),
            (json!(" None. "), vec![]),
            (json!(""), vec![]),
            (json!({"a": 1}), vec![]),
            (json!(null), vec![]),
        ] {
            assert_eq!(list(&object(value.clone()), "it"), items, "{value}");
        }
        assert!(list(&object(json!([])), "other").is_empty());
    }

    #[test]
    fn confidence_is_a_word_or_a_share() {
        let read = |value: Value| {
            let text = json!({ "confidence": value }).to_string();
            confidence(&Object::find(&text, &[]).unwrap()).ok()
        };
        for (value, expected) in [
            (json!(" High"), Some(Confidence::High)),
            (json!(0.8), Some(Confidence::High)),
            (json!("90 %"), Some(Confidence::High)),
            (json!(0.79), Some(Confidence::Medium)),
            (json!(0.5), Some(Confidence::Medium)),
            (json!(0.49), Some(Confidence::Low)),
            (json!(1.5), None),
            (json!("SURE"), None),
            (json!(null), None),
        ] {
            assert_eq!(read(value.clone()), expected, "{value}");
        }
    }
}
