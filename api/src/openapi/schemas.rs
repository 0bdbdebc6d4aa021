//! The schemas of bodies: [`Schemas`]. What a client sends and what it gets are described apart, since a field with a
//! default may be left out of a request and is always there in a response.

use crate::route_table::SchemaOf;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use std::{fmt::Write as _, slice};

pub(super) struct Schemas {
    pub(super) requests: SchemaGenerator,
    pub(super) responses: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            requests: settings.clone().for_deserialize().into_generator(),
            responses: settings.for_serialize().into_generator(),
        }
    }

    pub(super) fn request(&mut self, schema: SchemaOf) -> Value {
        tidied(schema(&mut self.requests).to_value())
    }

    pub(super) fn response(&mut self, schema: SchemaOf) -> Value {
        tidied(schema(&mut self.responses).to_value())
    }

    /// All named schemas, sorted.
    pub(super) fn into_components(mut self) -> Map<String, Value> {
        let mut all = self.requests.take_definitions(true);
        for (name, schema) in self.responses.take_definitions(true) {
            let same = all.get(&name).is_none_or(|other| *other == schema);
            assert!(
                same,
                "the schema {name} differs between requests and responses: use two types"
            );
            all.insert(name, schema);
        }
        all.values_mut().for_each(tidy);
        for name in all.keys() {
            // The generator numbers the second type of a name.
            assert!(
                !name.ends_with(|c: char| c.is_ascii_digit()),
                "two types claim the schema name of {name}: rename one"
            );
        }
        all.sort_keys();
        all
    }
}

fn tidied(mut schema: Value) -> Value {
    spell_out(&mut schema);
    tidy(&mut schema);
    schema
}

/// Removes what the generator adds of Rust: `null` as the default of what may be left out, and the line breaks of comments;
/// and writes what generators of clients cannot read in a form that they can.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("default") == Some(&Value::Null) {
                members.remove("default");
            }
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                properties.values_mut().for_each(spell_out);
            }
            join_words(members);
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Writes the schemas `true` and `false` as objects. `false` marks a field that one form of a body does not take; null there
/// is the same as nothing.
fn spell_out(schema: &mut Value) {
    match schema {
        Value::Bool(true) => *schema = json!({}),
        Value::Bool(false) => *schema = json!({ "type": "null" }),
        _ => {}
    }
}

/// Makes one `enum` of words that are described one by one, with the descriptions in its own: a generated client would
/// take each word for a type, and refuse all but the first.
fn join_words(members: &mut Map<String, Value>) {
    let Some(variants) = members.get("oneOf").and_then(Value::as_array) else {
        return;
    };
    let mut words = Vec::new();
    let mut text = members
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    for variant in variants {
        let of_variant: &[Value] = match (variant.get("const"), variant.get("enum")) {
            (Some(word @ Value::String(_)), _) => slice::from_ref(word),
            (None, Some(Value::Array(words))) => words,
            _ => return,
        };
        if let (Some(described), [Value::String(word)]) = (variant.get("description"), of_variant) {
            let described = described.as_str().unwrap_or_default().replace('\n', " ");
            let _ = write!(text, " `{word}`: {described}");
        }
        words.extend_from_slice(of_variant);
    }
    members.remove("oneOf");
    members.insert("type".to_owned(), "string".into());
    members.insert("enum".to_owned(), words.into());
    members.insert("description".to_owned(), text.trim_start().into());
}

/// The same schema for a value that is there: an optional parameter is left out, not null.
pub(super) fn without_null(mut schema: Value) -> Value {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            schema["type"] = only.clone();
        }
    }
    if let Some(Value::Array(variants)) = schema.get_mut("anyOf") {
        variants.retain(|variant| variant.get("type") != Some(&"null".into()));
        if let [only] = &variants[..] {
            return only.clone();
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_taken_out_of_a_schema() {
        assert_eq!(
            without_null(json!({ "type": ["string", "null"], "maxLength": 5 })),
            json!({ "type": "string", "maxLength": 5 })
        );
        assert_eq!(
            without_null(json!({ "anyOf": [{ "$ref": "#/x" }, { "type": "null" }] })),
            json!({ "$ref": "#/x" })
        );
    }

    #[test]
    fn schema_has_neither_null_defaults_nor_line_breaks() {
        let schema = json!({ "properties": { "a": { "default": null, "description": "one\ntwo" }, "b": { "default": 1 } } });
        assert_eq!(
            tidied(schema),
            json!({ "properties": { "a": { "description": "one two" }, "b": { "default": 1 } } })
        );
    }

    #[test]
    fn schema_is_an_object_also_where_it_takes_anything_or_nothing() {
        let schema = json!({ "properties": { "properties": true }, "oneOf": [{ "properties": { "a": false } }] });
        assert_eq!(
            tidied(schema),
            json!({ "properties": { "properties": {} }, "oneOf": [{ "properties": { "a": { "type": "null" } } }] })
        );
        assert_eq!(tidied(json!(true)), json!({}));
    }

    #[test]
    fn words_that_are_described_one_by_one_are_one_enum() {
        let schema = json!({
            "description": "A state.",
            "oneOf": [
                { "type": "string", "enum": ["a", "b"] },
                { "type": "string", "const": "c", "description": "The\nlast." },
            ],
        });
        assert_eq!(
            tidied(schema),
            json!({ "type": "string", "enum": ["a", "b", "c"], "description": "A state. `c`: The last." })
        );
        let forms = json!({ "oneOf": [{ "required": ["a"] }, { "required": ["b"] }] });
        assert_eq!(tidied(forms.clone()), forms);
    }

    #[test]
    #[should_panic(expected = "two types claim the schema name of Twin2")]
    fn schema_name_cannot_be_two_types() {
        // In a module each: two types of one module and one name are one type to schemars.
        mod one {
            #[derive(schemars::JsonSchema)]
            #[schemars(rename = "Twin")]
            #[expect(dead_code, reason = "only its schema matters")]
            pub(super) struct Twin {
                a: bool,
            }
        }
        mod other {
            #[derive(schemars::JsonSchema)]
            #[schemars(rename = "Twin")]
            #[expect(dead_code, reason = "only its schema matters")]
            pub(super) struct Twin {
                b: bool,
            }
        }
        let mut schemas = Schemas::new();
        schemas.request(SchemaGenerator::subschema_for::<one::Twin>);
        schemas.request(SchemaGenerator::subschema_for::<other::Twin>);
        schemas.into_components();
    }
}
