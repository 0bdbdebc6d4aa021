//! [`check`]: every response that the tests see is one that the OpenAPI document describes: its status, its code, its
//! headers, its media type and its body.

use super::schema::validate;
use api::{openapi, route_table::RouteTable, routes};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use std::sync::LazyLock;

/// The document, and in it the kinds and the queue of jobs that only tests have.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = openapi::document(&RouteTable::build(routes::all()).0);
    for (schema, name) in [
        ("JobKind", "test.noop"),
        ("JobKind", "test.other"),
        ("QueueName", "test"),
    ] {
        let names = &mut document["components"]["schemas"][schema]["enum"];
        let names = names.as_array_mut().expect("a closed set of names");
        names.push(name.into());
    }
    document
});

/// Fails the test if the document describes the operation but not this response. Paths that are not documented are
/// tests' own or those of the operators' listener.
#[track_caller]
pub(crate) fn check(
    method: &Method,
    path: &str,
    status: StatusCode,
    headers: &HeaderMap,
    text: &str,
) {
    let Some(operation) = operation(method, path) else {
        return;
    };
    let about = format!("{method} {path} answered {status}: {text}");
    let response = &operation["responses"][status.as_str()];
    assert!(!response.is_null(), "not documented: {about}");
    let response = resolve(response);
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header = resolve(header);
        match headers.get(name.as_str()) {
            None => assert!(header["required"] == false, "no {name}: {about}"),
            Some(value) => {
                let value = value.to_str().expect("a header of visible ASCII");
                let value = match header["schema"]["type"].as_str() {
                    Some("integer") => value
                        .parse::<i64>()
                        .map_or_else(|_| value.into(), Value::from),
                    _ => Value::from(value),
                };
                let fault = validate(&DOCUMENT, &header["schema"], &value, name);
                assert_eq!(fault, Ok(()), "{about}");
            }
        }
    }
    // Of a HEAD request there is nothing more to be seen.
    if method == Method::HEAD {
        return;
    }
    let Some(content) = response["content"].as_object() else {
        assert!(text.is_empty(), "a body that is not documented: {about}");
        return;
    };
    let media_type = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    let media_type = media_type
        .and_then(|text| text.split(';').next())
        .unwrap_or_default();
    let schema = content.get(media_type).map(|content| &content["schema"]);
    let schema =
        schema.unwrap_or_else(|| panic!("media type {media_type} is not documented: {about}"));
    for value in values(media_type, text) {
        assert_eq!(
            validate(&DOCUMENT, schema, &value, "body"),
            Ok(()),
            "{about}"
        );
    }
}

/// What a body holds: one value, or each event of a stream.
fn values(media_type: &str, text: &str) -> Vec<Value> {
    match media_type {
        "text/event-stream" => {
            let events = text.split("\n\n").map(event);
            events.filter(|event| event.get("data").is_some()).collect()
        }
        "text/html" => vec![Value::from(text)],
        _ => vec![serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))],
    }
}

/// The fields of a server-sent event; a comment or `retry` has none that count.
fn event(block: &str) -> Value {
    let fields = block.lines().filter_map(|line| line.split_once(':'));
    fields
        .filter(|(name, _)| ["id", "event", "data"].contains(name))
        .map(|(name, value)| (name.to_owned(), Value::from(value.trim_start())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let method = if method == Method::HEAD {
        "get".to_owned()
    } else {
        method.as_str().to_lowercase()
    };
    let paths = DOCUMENT["paths"].as_object()?;
    // Literal segments first: `/v1/jobs/triage` is not a job.
    let methods = paths.get(path).or_else(|| {
        let fitting = paths.iter().find(|(template, _)| fits(template, path));
        fitting.map(|(_, methods)| methods)
    })?;
    methods.get(&method)
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(wanted, given)| {
            (wanted.starts_with('{') && !given.is_empty()) || wanted == given
        })
}

pub(crate) fn resolve(value: &'static Value) -> &'static Value {
    let reference = value.get("$ref").and_then(Value::as_str);
    match reference.and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => DOCUMENT
            .pointer(pointer)
            .expect("a reference leads somewhere"),
        None => value,
    }
}
