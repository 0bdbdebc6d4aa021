//! References within the document: [`Document`].

use serde_json::Value;

/// The OpenAPI document, whose references can be followed.
#[derive(Clone, Copy)]
pub(super) struct Document<'a>(pub(super) &'a Value);

impl<'a> Document<'a> {
    /// Follows references until there is none.
    pub(super) fn resolve(self, mut value: &'a Value) -> &'a Value {
        while let Some(target) = target(value).and_then(|pointer| self.0.pointer(pointer)) {
            value = target;
        }
        value
    }

    /// The elements of an array at a pointer, resolved.
    pub(super) fn items(self, value: &'a Value) -> impl Iterator<Item = &'a Value> {
        let items = value.as_array().into_iter().flatten();
        items.map(move |item| self.resolve(item))
    }
}

fn target(value: &Value) -> Option<&str> {
    value.get("$ref")?.as_str()?.strip_prefix('#')
}

/// The name of the schema that is referred to.
pub(super) fn schema_name(value: &Value) -> Option<&str> {
    target(value)?.strip_prefix("/components/schemas/")
}

/// A text member, or nothing.
pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
