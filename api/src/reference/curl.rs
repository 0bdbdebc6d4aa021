//! An example request for an operation: [`example`].

use super::resolve::{Document, text};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// How deep an example body nests: enough for every required field.
const DEPTH: usize = 4;

/// Writes a `curl` command with every required parameter and a minimal body.
pub(super) fn example(
    document: Document<'_>,
    method: &str,
    path: &str,
    operation: &Value,
) -> String {
    let mut path = path.to_owned();
    let mut query = Vec::new();
    let mut options = Vec::new();
    if operation["security"]
        .as_array()
        .is_some_and(|schemes| !schemes.is_empty())
    {
        options.push("-H \"Authorization: Bearer $TOKEN\"".to_owned());
    }
    for parameter in document.items(&operation["parameters"]) {
        let (name, place) = (text(parameter, "name"), text(parameter, "in"));
        if place == "path" {
            path = path.replace(&format!("{{{name}}}"), &format!("${}", name.to_uppercase()));
        } else if parameter["required"] == true {
            let value = parameter.get("example").cloned();
            let value = value.unwrap_or_else(|| sample(document, &parameter["schema"], DEPTH));
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            if place == "query" {
                query.push(format!("{name}={value}"));
            } else {
                options.push(format!("-H '{name}: {value}'"));
            }
        }
    }
    let content = operation["requestBody"]["content"].as_object();
    if let Some((media_type, content)) = content.and_then(|content| content.iter().next()) {
        options.push(format!("-H 'Content-Type: {media_type}'"));
        if media_type == "application/json" {
            let body = sample(document, &content["schema"], DEPTH);
            options.push(format!("-d '{}'", body.to_string().replace('\'', "'\\''")));
        } else {
            options.push("--data-binary @body".to_owned());
        }
    }
    if !query.is_empty() {
        let _ = write!(path, "?{}", query.join("&"));
    }
    let mut command = format!(
        "curl -X {} \"http://127.0.0.1:8080{path}\"",
        method.to_uppercase()
    );
    for option in options {
        let _ = write!(command, " \\\n  {option}");
    }
    command
}

/// Makes a value that the schema accepts, as small as it can be.
fn sample(document: Document<'_>, schema: &Value, depth: usize) -> Value {
    let schema = document.resolve(schema);
    if let Some(given) = schema.get("const").or_else(|| schema.get("default")) {
        return given.clone();
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.first().cloned().unwrap_or_default();
    }
    if schema.get("properties").is_some() {
        return object(document, schema, depth);
    }
    for member in ["oneOf", "anyOf"] {
        if let Some(first) = schema.get(member).and_then(|variants| variants.get(0)) {
            return sample(document, first, depth);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(names) => names.first().and_then(Value::as_str).unwrap_or_default(),
        name => name.as_str().unwrap_or_default(),
    };
    match kind {
        "array" if schema.get("minItems").is_some() && depth > 0 => {
            json!([sample(document, &schema["items"], depth - 1)])
        }
        "array" => json!([]),
        "object" => json!({}),
        "boolean" => json!(true),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "string" => json!(word(text(schema, "format"))),
        _ => Value::Null,
    }
}

fn word(format: &str) -> &'static str {
    match format {
        "uuid" => "0198c1d2-0000-7000-8000-000000000000",
        "date-time" => "2026-01-31T09:00:00Z",
        "date" => "2026-01-31",
        "email" => "ada@example.com",
        "uri" => "https://example.com/",
        _ => "…",
    }
}

/// An object with its required fields, and those of its first form.
fn object(document: Document<'_>, schema: &Value, depth: usize) -> Value {
    let mut fields = Map::new();
    if depth == 0 {
        return Value::Object(fields);
    }
    let form = &schema["oneOf"][0];
    let required = |schema: &Value| schema["required"].as_array().cloned().unwrap_or_default();
    let mut names = required(schema);
    names.extend(required(form));
    for name in names.iter().filter_map(Value::as_str) {
        let narrowed = &form["properties"][name];
        let field = if narrowed.is_object() {
            narrowed
        } else {
            &schema["properties"][name]
        };
        fields.insert(name.to_owned(), sample(document, field, depth - 1));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_sends_what_is_required_and_no_more() {
        let operation = json!({
            "security": [{ "session": [] }],
            "parameters": [
                { "name": "id", "in": "path", "required": true, "schema": { "type": "string" } },
                { "name": "from", "in": "query", "required": true, "schema": { "type": "integer", "minimum": 1 } },
                { "name": "limit", "in": "query", "required": false, "schema": { "type": "integer" } },
                { "name": "If-Match", "in": "header", "required": true, "example": "\"1\"" },
            ],
            "requestBody": { "content": { "application/json": { "schema": {
                "properties": { "a": { "type": "string" }, "b": { "type": "boolean" }, "c": {} },
                "required": ["a"],
                "oneOf": [{ "required": ["b"], "properties": { "b": { "const": false } } }],
            } } } },
        });
        let document = json!({});
        assert_eq!(
            example(Document(&document), "post", "/v1/things/{id}", &operation),
            "curl -X POST \"http://127.0.0.1:8080/v1/things/$ID?from=1\" \\\n  \
             -H \"Authorization: Bearer $TOKEN\" \\\n  -H 'If-Match: \"1\"' \\\n  \
             -H 'Content-Type: application/json' \\\n  -d '{\"a\":\"…\",\"b\":false}'"
        );
    }
}
