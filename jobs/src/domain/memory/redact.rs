//! Redacts memory for prompts: at high risk addresses, telephone numbers and tokens are removed, at any depth.

use crate::domain::risk::Risk;
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// Replaces what was removed.
const REDACTED: &str = "[redacted]";

/// A field whose name contains one of these is removed as a whole.
const FIELDS: [&str; 6] = ["email", "phone", "token", "password", "secret", "mobile"];

/// Addresses, telephone numbers of seven digits or more, and 24 or more characters in a row as tokens are made of.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
        [\w.+-]+ @ [\w-]+ (?: \. [\w-]+ )+
        | \+? \d (?: [\s()./-]{0,3} \d ){6,}
        | [A-Za-z0-9_-]{24,}",
    )
    .expect("the pattern is written out here")
});

/// Returns the value as a prompt may show it when its outcome carries this risk.
pub fn for_prompt_at(risk: Risk, value: &Value) -> Value {
    match risk {
        Risk::Low | Risk::Medium => value.clone(),
        Risk::High | Risk::Critical => redacted(value),
    }
}

fn redacted(value: &Value) -> Value {
    match value {
        Value::String(text) => PATTERN.replace_all(text, REDACTED).into_owned().into(),
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let lower = name.to_lowercase();
                let hidden = FIELDS.iter().any(|field| lower.contains(field));
                let name = PATTERN.replace_all(name, REDACTED).into_owned();
                let value = if hidden {
                    REDACTED.into()
                } else {
                    redacted(value)
                };
                (name, value)
            })
            .collect(),
        // A telephone number can be a JSON number, too.
        Value::Number(number) if PATTERN.is_match(&number.to_string()) => REDACTED.into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn at_high_risk_addresses_numbers_and_tokens_are_blacked_out_at_any_depth() {
        let value = json!({
            "note": "Ask ada.l+x@client.co.uk or call +44 (20) 7946-0958, key sk_live_0123456789abcdefghij.",
            "people": [{"Work_Email": "x", "name": "Ada", "mobile": 1}],
            "number": 442_079_460_958_u64,
            "year": 2026,
            "ada@client.com": true,
        });
        let expected = json!({
            "note": "Ask [redacted] or call [redacted], key [redacted].",
            "people": [{"Work_Email": REDACTED, "name": "Ada", "mobile": REDACTED}],
            "number": REDACTED,
            "year": 2026,
            "[redacted]": true,
        });
        for risk in [Risk::High, Risk::Critical] {
            assert_eq!(for_prompt_at(risk, &value), expected);
        }
        for risk in [Risk::Low, Risk::Medium] {
            assert_eq!(for_prompt_at(risk, &value), value);
        }
    }
}
