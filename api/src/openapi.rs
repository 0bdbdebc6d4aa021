//! The OpenAPI 3.1 document, written from the route table: [`document`]. Adds nothing that is not declared there.

use crate::route_table::{Access, Operation, Parameter, Place, RouteTable, SchemaOf};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The whole document.
pub fn document(table: &RouteTable) -> Value {
    let mut schemas = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();
    let mut paths = Map::new();
    for operation in table.operations() {
        let described = describe(operation, &mut schemas);
        let at_path = paths
            .entry(operation.path)
            .or_insert_with(|| Value::Object(Map::new()));
        at_path[operation.method.as_str().to_lowercase()] = described;
    }
    let mut definitions = schemas.take_definitions(true);
    definitions.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postroom",
            "description": "Durable jobs that read mail and act on it: submit work, then poll or wait for its result.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": { "session": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn describe(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let mut described = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": responses(operation, schemas),
    });
    match operation.access {
        Access::Public => described["security"] = json!([]),
        Access::Session(scope) => {
            described["security"] = json!([{ "session": [] }]);
            described["x-scope"] = scope.as_str().into();
        }
        Access::Fleet(scope) => {
            described["security"] = json!([{ "session": [] }]);
            described["x-scope"] = scope.as_str().into();
            described["x-operators-only"] = true.into();
        }
    }
    let mut parameters: Vec<Value> = path_parameters(operation.path);
    parameters.extend(
        operation
            .parameters
            .iter()
            .map(|given| parameter(given, schemas)),
    );
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if !operation.bodies.is_empty() {
        let content: Map<String, Value> = operation
            .bodies
            .iter()
            .map(|(media_type, schema)| ((*media_type).to_owned(), content(*schema, schemas)))
            .collect();
        described["requestBody"] = json!({ "required": true, "content": content });
        described["x-body-limit"] = operation.body_limit.into();
    }
    described
}

fn responses(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for answer in &operation.answers {
        let mut response = json!({ "description": answer.summary });
        if let Some((media_type, schema)) = answer.content {
            response["content"] = json!({ media_type: content(schema, schemas) });
        }
        responses.insert(answer.status.to_string(), response);
    }
    let problem = content(Operation::problem_schema(), schemas);
    responses.insert(
        "default".into(),
        json!({
            "description": "A refusal or a failure; `code` says which.",
            "content": { crate::error::PROBLEM_JSON: problem },
        }),
    );
    Value::Object(responses)
}

fn content(schema: SchemaOf, schemas: &mut SchemaGenerator) -> Value {
    json!({ "schema": schema(schemas) })
}

fn path_parameters(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect()
}

fn parameter(given: &Parameter, schemas: &mut SchemaGenerator) -> Value {
    let place = match given.place {
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": given.name,
        "in": place,
        "required": given.required,
        "description": given.summary,
        "schema": (given.schema)(schemas),
    })
}
