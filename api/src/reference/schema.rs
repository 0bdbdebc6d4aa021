//! Schemas as HTML: the type of a value ([`type_of`]) and the fields of an object ([`fields`]).

use super::{
    html::{escape, prose},
    resolve::{schema_name, text},
};
use serde_json::Value;
use std::fmt::Write as _;

/// Writes the type with its bounds, a named one as a link to its description.
pub(super) fn type_of(schema: &Value) -> String {
    if let Some(name) = schema_name(schema) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for (member, glue) in [("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")] {
        // Beside `properties` they are conditions on the fields, not types.
        if schema.get("properties").is_none()
            && let Some(variants) = schema.get(member).and_then(Value::as_array)
        {
            let variants: Vec<String> = variants.iter().map(type_of).collect();
            return variants.join(glue);
        }
    }
    if let Some(only) = schema.get("const") {
        return format!("<code>{}</code>", escape(&only.to_string()));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words = words
            .iter()
            .map(|word| format!("<code>{}</code>", escape(&word.to_string())));
        return words.collect::<Vec<_>>().join(" ");
    }
    if let Some(items) = schema.get("items") {
        return format!("array of {}{}", type_of(items), bounds(schema));
    }
    let types = match schema.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.join(" or ")
        }
        _ => "any JSON".to_owned(),
    };
    let format = text(schema, "format");
    let format = if matches!(format, "uuid" | "date-time" | "date" | "email" | "uri") {
        format!(" ({format})")
    } else {
        String::new()
    };
    format!("{}{}{}", escape(&types), format, bounds(schema))
}

/// Bounds and default, each as short as it can be said.
fn bounds(schema: &Value) -> String {
    let range = |min: &str, max: &str, unit: &str| match (schema.get(min), schema.get(max)) {
        (Some(min), Some(max)) => format!(", {min} to {max}{unit}"),
        (Some(min), None) => format!(", at least {min}{unit}"),
        (None, Some(max)) => format!(", at most {max}{unit}"),
        (None, None) => String::new(),
    };
    let mut text = range("minimum", "maximum", "");
    text.push_str(&range("minLength", "maxLength", " characters"));
    text.push_str(&range("minItems", "maxItems", " items"));
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let _ = write!(text, ", <code>{}</code>", escape(pattern));
    }
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        let _ = write!(
            text,
            ", default <code>{}</code>",
            escape(&default.to_string())
        );
    }
    text
}

/// Writes a table of an object's fields; nothing if it has none.
pub(super) fn fields(schema: &Value) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return String::new();
    };
    let required = schema.get("required").and_then(Value::as_array);
    let mut html = String::from("<table><tr><th>Field<th>Type<th>Description</tr>");
    for (name, field) in properties {
        let is_required = required.is_some_and(|names| names.iter().any(|other| other == name));
        let mark = if is_required {
            " <em>required</em>"
        } else {
            ""
        };
        let _ = write!(
            html,
            "<tr><td><code>{}</code>{mark}<td>{}<td>{}</tr>",
            escape(name),
            type_of(field),
            prose(text(field, "description"))
        );
    }
    html.push_str("</table>");
    html.push_str(&alternatives(schema));
    html
}

/// Says which fields go together, where a body has several forms.
fn alternatives(schema: &Value) -> String {
    let Some(forms) = schema.get("oneOf").and_then(Value::as_array) else {
        return String::new();
    };
    let forms: Vec<String> = forms.iter().map(form).collect();
    format!("<p>Exactly one form: {}.</p>", forms.join("; or "))
}

fn form(form: &Value) -> String {
    let properties = form.get("properties").and_then(Value::as_object);
    let mut parts = Vec::new();
    let mut forbidden = Vec::new();
    for (name, field) in properties.into_iter().flatten() {
        let name = escape(name);
        if field["type"] == "null" {
            forbidden.push(format!("<code>{name}</code>"));
        } else if field.get("const").is_some() || field.get("enum").is_some() {
            parts.push(format!("<code>{name}</code> = {}", type_of(field)));
        }
    }
    let required = form.get("required").and_then(Value::as_array);
    let required = required.into_iter().flatten().filter_map(Value::as_str);
    parts.extend(required.map(|name| format!("<code>{}</code>", escape(name))));
    let mut text = if parts.is_empty() {
        "none of them".to_owned()
    } else {
        format!("with {}", parts.join(", "))
    };
    if !forbidden.is_empty() {
        let _ = write!(text, ", without {}", forbidden.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn type_names_its_bounds_and_links_to_named_schemas() {
        assert_eq!(
            type_of(&json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 50 })),
            "integer, 1 to 200, default <code>50</code>"
        );
        assert_eq!(
            type_of(
                &json!({ "anyOf": [{ "$ref": "#/components/schemas/Job" }, { "type": "null" }] })
            ),
            "<a href=\"#schema-Job\">Job</a> or null"
        );
        assert_eq!(
            type_of(
                &json!({ "type": "array", "items": { "type": "string", "format": "uuid" }, "maxItems": 5 })
            ),
            "array of string (uuid), at most 5 items"
        );
    }

    #[test]
    fn fields_say_which_of_them_go_together() {
        let html = fields(&json!({
            "properties": { "a": { "type": "string" }, "b": { "type": "string" } },
            "required": ["a"],
            "oneOf": [{ "required": ["a"], "properties": { "b": { "type": "null" } } }, { "required": ["b"] }],
        }));
        assert!(
            html.contains("<code>a</code> <em>required</em><td>string"),
            "{html}"
        );
        assert!(
            html.ends_with(
                "with <code>a</code>, without <code>b</code>; or with <code>b</code>.</p>"
            ),
            "{html}"
        );
    }
}
