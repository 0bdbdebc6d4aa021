//! [`validate`]: JSON Schema as far as our document uses it. A keyword it does not know fails the test.

use chrono::{DateTime, NaiveDate};
use regex::Regex;
use serde_json::Value;
use uuid::Uuid;

/// Keywords that say nothing about a value.
const ANNOTATIONS: [&str; 5] = [
    "description",
    "default",
    "title",
    "example",
    "contentMediaType",
];

/// What is wrong with a value, and where.
///
/// # Errors
/// The first fault that was found.
pub(crate) fn validate(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let schema = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err(format!("{at} must not be there")),
        Value::Object(schema) => schema,
        _ => panic!("{at}: no schema: {schema}"),
    };
    let below = |schema: &Value| validate(document, schema, value, at);
    let fits = |schemas: &Value| {
        let schemas = schemas.as_array().expect("an array of schemas");
        schemas
            .iter()
            .filter(|schema| below(schema).is_ok())
            .count()
    };
    for (keyword, rule) in schema {
        let holds = match keyword.as_str() {
            "$ref" => {
                let pointer = rule.as_str().and_then(|text| text.strip_prefix('#'));
                let target = pointer.and_then(|pointer| document.pointer(pointer));
                below(target.expect("a reference leads somewhere"))?;
                true
            }
            "allOf" => {
                for schema in rule.as_array().expect("an array of schemas") {
                    below(schema)?;
                }
                true
            }
            "anyOf" => fits(rule) > 0,
            "oneOf" => fits(rule) == 1,
            "not" => below(rule).is_err(),
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_of(value, name)),
                name => is_of(value, name),
            },
            "const" => value == rule,
            "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => value.as_f64().is_none_or(|n| n >= number(rule)),
            "maximum" => value.as_f64().is_none_or(|n| n <= number(rule)),
            "minLength" => length(value).is_none_or(|n| n >= number(rule)),
            "maxLength" => length(value).is_none_or(|n| n <= number(rule)),
            "minItems" => value
                .as_array()
                .is_none_or(|all| all.len() as f64 >= number(rule)),
            "maxItems" => value
                .as_array()
                .is_none_or(|all| all.len() as f64 <= number(rule)),
            "pattern" => {
                let pattern = Regex::new(rule.as_str().expect("a pattern")).expect("a pattern");
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "format" => value.as_str().is_none_or(|text| has_format(text, rule)),
            "contentSchema" => {
                let text = value.as_str().unwrap_or_default();
                let content: Value =
                    serde_json::from_str(text).map_err(|_| format!("{at} is no JSON"))?;
                validate(document, rule, &content, at)?;
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(document, rule, item, &format!("{at}/{index}"))?;
                }
                true
            }
            "required" => {
                let names = rule.as_array().into_iter().flatten();
                names
                    .filter_map(Value::as_str)
                    .all(|name| !value.is_object() || value.get(name).is_some())
            }
            "properties" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if let Some(field) = value.get(name) {
                        validate(document, schema, field, &format!("{at}/{name}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties");
                for (name, field) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| known.get(name).is_none()) {
                        validate(document, rule, field, &format!("{at}/{name}"))?;
                    }
                }
                true
            }
            "dependentRequired" => {
                let rules = rule.as_object().into_iter().flatten();
                let mut given = rules.filter(|(name, _)| value.get(name.as_str()).is_some());
                given.all(|(_, names)| {
                    let names = names.as_array().into_iter().flatten();
                    names
                        .filter_map(Value::as_str)
                        .all(|name| value.get(name).is_some())
                })
            }
            keyword => {
                assert!(
                    ANNOTATIONS.contains(&keyword),
                    "{at}: unknown keyword {keyword}"
                );
                true
            }
        };
        if !holds {
            return Err(format!("{at} breaks {keyword}: {rule}: {value}"));
        }
    }
    Ok(())
}

fn is_of(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => panic!("unknown type {name}"),
    }
}

fn number(rule: &Value) -> f64 {
    rule.as_f64().expect("a number")
}

fn length(value: &Value) -> Option<f64> {
    value.as_str().map(|text| text.chars().count() as f64)
}

fn has_format(text: &str, format: &Value) -> bool {
    match format.as_str() {
        Some("uuid") => Uuid::try_parse(text).is_ok_and(|id| id.to_string() == text),
        Some("date-time") => DateTime::parse_from_rfc3339(text).is_ok(),
        Some("date") => text.parse::<NaiveDate>().is_ok(),
        _ => true,
    }
}

#[test]
fn schema_refuses_what_it_does_not_describe() {
    let document =
        serde_json::json!({ "schemas": { "Id": { "type": "string", "format": "uuid" } } });
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "id": { "$ref": "#/schemas/Id" },
            "n": { "type": ["integer", "null"], "minimum": 1, "maximum": 3 },
            "word": { "enum": ["a", "b"] },
        },
        "required": ["id"],
        "additionalProperties": false,
        "oneOf": [{ "required": ["n"] }, { "required": ["word"] }],
    });
    let id = "0198c1d2-0000-7000-8000-000000000000";
    let accepts = |value: Value| validate(&document, &schema, &value, "").is_ok();
    assert!(accepts(serde_json::json!({ "id": id, "n": 3 })));
    assert!(accepts(serde_json::json!({ "id": id, "n": null })));
    assert!(accepts(serde_json::json!({ "id": id, "word": "b" })));
    for bad in [
        serde_json::json!({ "id": id }),
        serde_json::json!({ "id": id, "n": 1, "word": "a" }),
        serde_json::json!({ "id": id, "n": 4 }),
        serde_json::json!({ "id": id, "n": 1.5 }),
        serde_json::json!({ "id": id, "word": "c" }),
        serde_json::json!({ "id": "no", "n": 1 }),
        serde_json::json!({ "n": 1 }),
        serde_json::json!({ "id": id, "n": 1, "more": 1 }),
        serde_json::json!([]),
    ] {
        assert!(!accepts(bad.clone()), "{bad}");
    }
}
