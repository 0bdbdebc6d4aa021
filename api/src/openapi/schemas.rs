//! The schemas of bodies: [`Schemas`]. What a client sends and what it gets are described apart, since a field with a
//! default may be left out of a request and is always there in a response.

use crate::route_table::SchemaOf;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

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
    tidy(&mut schema);
    schema
}

/// Removes what the generator adds of Rust: `null` as the default of what may be left out, and the line breaks of comments.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("default") == Some(&Value::Null) {
                members.remove("default");
            }
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
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
    use serde_json::json;

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
