//! The OpenAPI 3.1 document, written from the route table: [`document`]. Adds nothing that is not declared there.

mod components;
mod operation;
mod schemas;

use crate::route_table::{RouteTable, Tag};
use components::ErrorResponses;
use schemas::Schemas;
use serde_json::{Map, Value, json};

const DESCRIPTION: &str = "\
Durable jobs that read email and act on it: submit work, then poll it, wait for it or stream its events.

Send `Authorization: Bearer <token>` with every operation that is not public. Failures are `application/problem+json` \
(RFC 9457) with a stable `code`, a `request_id` and a pointer to each field at fault. Operations \
that need the version they change take it as `If-Match`; those that submit work or create a record take an \
`Idempotency-Key`, so a repeated request is executed once.";

/// Writes the whole document.
///
/// # Panics
/// If two types claim one schema name: the process then fails at its start.
pub fn document(table: &RouteTable) -> Value {
    let mut schemas = Schemas::new();
    let mut errors = ErrorResponses::default();
    let mut paths = Map::new();
    for operation in table.operations() {
        let described = operation::describe(operation, &mut schemas, &mut errors);
        let at_path = paths
            .entry(operation.path)
            .or_insert_with(|| Value::Object(Map::new()));
        at_path[operation.method.as_str().to_lowercase()] = described;
    }
    let responses = errors.into_components();
    let tags: Vec<Value> = Tag::ALL
        .iter()
        .map(|tag| json!({ "name": tag.as_str(), "description": tag.description() }))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postroom",
            "description": DESCRIPTION,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The API that serves this document." }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.into_components(),
            "responses": responses,
            "parameters": components::parameters(),
            "headers": components::headers(),
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A session token, `pr_s_…`, from `POST /v1/sessions`, or an API key, `pr_k_…`, from `POST /v1/api-keys`.",
                },
            },
        },
    })
}
