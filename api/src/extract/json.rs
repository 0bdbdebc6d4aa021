//! Strict JSON: [`StrictJson`]. Refuses what `serde_json` accepts: repeated keys (it keeps the last), deep nesting, U+0000
//! (which Postgres cannot store), unknown fields, and arrays in place of objects.

mod by_name;

use super::{body, mismatch::Mismatch};
use crate::{
    AppState,
    error::{ApiError, Code},
};
use axum::extract::{FromRequest, Request};
use by_name::ByName;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};
use std::{
    cell::{Cell, RefCell},
    fmt,
};

/// Deeper nesting is an attack or a mistake.
const MAX_DEPTH: usize = 32;
/// A value takes up to 72 bytes, and two in the body: more would take a large multiple of what the body's budget counts.
const MAX_VALUES: usize = 100_000;

/// A body of type `T`, which denies unknown fields, sent as `application/json`.
#[derive(Clone, Debug)]
pub struct StrictJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for StrictJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        if body::media_type(request.headers()) != "application/json" {
            return Err(body::unsupported("application/json"));
        }
        let bytes = body::read(app, request).await?;
        into_type(parse(&bytes)?).map(Self)
    }
}

/// Parses any JSON value strictly.
///
/// # Errors
/// 400, with a pointer to the fault if there is one.
pub fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    let fault = RefCell::new(None);
    let left = Cell::new(MAX_VALUES);
    let strict = Strict {
        path: String::new(),
        depth: 0,
        fault: &fault,
        left: &left,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = strict
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| {
        let refusal = ApiError::new(
            Code::MalformedJson,
            "The body is not strict JSON. Correct what `errors` lists.",
        );
        match fault.take() {
            Some((pointer, code, detail)) => refusal.at(pointer, code, detail),
            // Only line and column: serde_json's message may quote the body.
            None => refusal.at(
                "",
                "SYNTAX",
                format!("line {}, column {}", error.line(), error.column()),
            ),
        }
    })
}

/// Converts a value to the type that the operation takes.
///
/// # Errors
/// 422 with a pointer to the invalid field.
pub fn into_type<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(ByName(value)).map_err(|error| {
        let mismatch = Mismatch::of(error.path(), &error.inner().to_string());
        let mut pointer = String::new();
        for step in &mismatch.steps {
            push(&mut pointer, step);
        }
        ApiError::new(
            Code::InvalidBody,
            "A field of the body is invalid. Check the fields in `errors` against /docs.",
        )
        .at(pointer, mismatch.code, mismatch.detail)
    })
}

/// Appends one step to a JSON pointer (RFC 6901). Keys come from the client, so they are cut to keep the response small.
pub fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    let short: String = key.chars().take(64).collect();
    pointer.push_str(&short.replace('~', "~0").replace('/', "~1"));
}

type JsonFault = (String, &'static str, &'static str);

/// Reads one value below `path`.
struct Strict<'a> {
    path: String,
    depth: usize,
    fault: &'a RefCell<Option<JsonFault>>,
    /// How many more values the body may have.
    left: &'a Cell<usize>,
}

impl Strict<'_> {
    fn refuse<E: Error>(&self, code: &'static str, detail: &'static str) -> E {
        *self.fault.borrow_mut() = Some((self.path.clone(), code, detail));
        E::custom(detail)
    }

    fn below<E: Error>(&self, key: &str) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.refuse("TOO_DEEP", "Must not be nested deeper than 32."));
        }
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(self.refuse(
                "TOO_MANY",
                "The body must not have more than 100,000 values.",
            ));
        };
        self.left.set(left);
        let mut path = self.path.clone();
        push(&mut path, key);
        Ok(Self {
            path,
            depth: self.depth + 1,
            fault: self.fault,
            left: self.left,
        })
    }

    fn text<E: Error>(&self, text: &str) -> Result<(), E> {
        if text.contains('\0') {
            return Err(self.refuse("NUL", "Must not contain U+0000."));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| self.refuse("NUMBER", "The number cannot be represented."))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.text(value)?;
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.text(&value)?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self.below(&values.len().to_string())?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let below = self.below(&key)?;
            below.text(&key)?;
            if map.contains_key(&key) {
                return Err(below.refuse("DUPLICATE_KEY", "Must not occur twice."));
            }
            map.insert(key, entries.next_value_seed(below)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    /// Pointer and code of the one fault found.
    fn fault(refusal: &ApiError) -> (&str, &str) {
        let [field] = refusal.errors() else {
            panic!("one fault: {refusal:?}")
        };
        (&field.pointer, &field.code)
    }

    #[test]
    fn strict_json_is_read_like_any_other() {
        let text = r#"{"a":[1,-2,3.5,null,true,"x"],"b":{"c":"ü"}}"#;
        let read: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse(text.as_bytes()).unwrap(), read);
        assert_eq!(parse(b"7").unwrap(), json!(7));
    }

    #[test]
    fn json_that_serde_json_accepts_is_refused_with_a_pointer() {
        let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
        let at_depth = "/0".repeat(32);
        let cases = [
            (r#"{"a":{"b":1,"b":2}}"#, "/a/b", "DUPLICATE_KEY"),
            ("{\"a\":[\"x\",\"\\u0000\"]}", "/a/1", "NUL"),
            ("{\"\\u0000\":1}", "/\0", "NUL"),
            (deep.as_str(), at_depth.as_str(), "TOO_DEEP"),
            (r#"{"a":}"#, "", "SYNTAX"),
            (r#"{"a":1} x"#, "", "SYNTAX"),
            (r#"{"a":1e999}"#, "", "SYNTAX"),
            ("", "", "SYNTAX"),
        ];
        for (text, pointer, code) in cases {
            let refusal = parse(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.code(), Code::MalformedJson);
            assert_eq!(fault(&refusal), (pointer, code), "{text}");
        }
        assert_eq!(fault(&parse(b"\"\xff\"").unwrap_err()), ("", "SYNTAX"));
        let very_deep = "[".repeat(10_000);
        assert_eq!(
            fault(&parse(very_deep.as_bytes()).unwrap_err()).1,
            "TOO_DEEP"
        );
        let many = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(parse(many(MAX_VALUES - 1).as_bytes()).is_ok());
        let too_many = parse(many(MAX_VALUES + 1).as_bytes()).unwrap_err();
        assert_eq!(fault(&too_many).1, "TOO_MANY");
    }

    #[test]
    fn field_that_is_invalid_is_pointed_at() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Inner {
            #[expect(dead_code, reason = "only its type matters")]
            n: u8,
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Outer {
            #[expect(dead_code, reason = "only its type matters")]
            inner: Vec<Inner>,
        }
        let cases = [
            (
                json!({"inner":[{"n":1},{"n":"secret"}]}),
                "/inner/1/n",
                "INVALID_VALUE",
            ),
            (
                json!({"inner":[{"n":1,"m":2}]}),
                "/inner/0/m",
                "UNKNOWN_FIELD",
            ),
            (json!({"inner":[],"a/b~":2}), "/a~1b~0", "UNKNOWN_FIELD"),
            (json!({}), "/inner", "MISSING_FIELD"),
            (json!({"inner":[{}]}), "/inner/0/n", "MISSING_FIELD"),
            (json!([[{"n":1}]]), "", "INVALID_VALUE"),
            (json!({"inner":[{"n":1},[1]]}), "/inner/1", "INVALID_VALUE"),
        ];
        for (value, pointer, code) in cases {
            let refusal = into_type::<Outer>(value).unwrap_err();
            assert_eq!(refusal.code(), Code::InvalidBody);
            assert_eq!(fault(&refusal), (pointer, code));
            assert!(!format!("{refusal:?}").contains("secret"));
        }
    }
}
