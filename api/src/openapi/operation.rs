//! One operation of the document: [`describe`].

use super::{
    components::{ErrorResponses, header_references},
    schemas::{Schemas, without_null},
};
use crate::{
    error::Code,
    route_table::{Access, Operation, Parameter, ParameterIn, Precondition, ResponseHeader},
};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) fn describe(
    operation: &Operation,
    schemas: &mut Schemas,
    errors: &mut ErrorResponses,
) -> Value {
    let mut described = json!({
        "operationId": operation.name,
        "tags": [operation.tag.as_str()],
        "summary": operation.summary,
    });
    if !operation.description.is_empty() {
        described["description"] = operation.description.into();
    }
    match operation.access {
        Access::Public => described["security"] = json!([]),
        Access::Session(scope) => {
            described["security"] = json!([{ "session": [] }]);
            described["x-scope"] = scope.as_str().into();
        }
        Access::Operators(scope) => {
            described["security"] = json!([{ "session": [] }]);
            described["x-scope"] = scope.as_str().into();
            described["x-operators-only"] = true.into();
        }
    }
    let parameters = parameters(operation, schemas);
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if !operation.bodies.is_empty() {
        let content: Map<String, Value> = operation
            .bodies
            .iter()
            .map(|(media_type, schema)| {
                let schema = schemas.request(*schema);
                ((*media_type).to_owned(), json!({ "schema": schema }))
            })
            .collect();
        let required = !operation.body_is_optional;
        described["requestBody"] = json!({ "required": required, "content": content });
        described["x-body-limit"] = operation.body_limit.into();
    }
    described["responses"] = responses(operation, schemas, errors);
    described
}

fn parameters(operation: &Operation, schemas: &mut Schemas) -> Vec<Value> {
    let mut all = path_parameters(operation, schemas);
    all.extend(query_parameters(operation, schemas));
    let shared = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    if operation.paged {
        all.extend([shared("Limit"), shared("Cursor")]);
    }
    if operation.idempotent {
        all.push(shared("IdempotencyKey"));
    }
    match operation.precondition {
        Precondition::None => {}
        Precondition::Optional => all.push(shared("IfMatchToReplace")),
        Precondition::Required if operation.any_version => all.push(shared("IfMatchOrAny")),
        Precondition::Required => all.push(shared("IfMatch")),
    }
    let headers = declared(operation, ParameterIn::Header);
    all.extend(headers.map(|given| {
        json!({
            "name": given.name,
            "in": "header",
            "required": false,
            "description": given.description,
            "schema": schemas.request(given.schema),
        })
    }));
    all
}

fn declared(operation: &Operation, place: ParameterIn) -> impl Iterator<Item = &Parameter> {
    operation
        .parameters
        .iter()
        .filter(move |parameter| parameter.place == place)
}

fn path_parameters(operation: &Operation, schemas: &mut Schemas) -> Vec<Value> {
    let describe = |name: &str| {
        let given = declared(operation, ParameterIn::Path).find(|given| given.name == name);
        let (description, schema) = given.map_or_else(
            || {
                let schema = json!({ "type": "string", "format": "uuid" });
                ("Its id.", schema)
            },
            |given| (given.description, schemas.request(given.schema)),
        );
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": description,
            "schema": schema,
        })
    };
    operation.path_parameters().map(describe).collect()
}

/// The fields of the query's type, one parameter each.
fn query_parameters(operation: &Operation, schemas: &mut Schemas) -> Vec<Value> {
    let Some(query) = operation.query else {
        return Vec::new();
    };
    let described = schemas.request(query);
    let is_required = |name: &str| {
        let required = described["required"].as_array();
        required.is_some_and(|names| names.iter().any(|required| required == name))
    };
    let fields = described["properties"].as_object();
    fields
        .into_iter()
        .flatten()
        .map(|(name, field)| {
            let mut field = field.clone();
            let description = field.as_object_mut().and_then(|field| {
                // A generated client sends what has a default, also where the body has these options as fields.
                field.remove("default");
                field.remove("description")
            });
            json!({
                "name": name,
                "in": "query",
                "required": is_required(name),
                "description": description,
                "schema": without_null(field),
            })
        })
        .collect()
}

fn responses(operation: &Operation, schemas: &mut Schemas, errors: &mut ErrorResponses) -> Value {
    let mut all = Map::new();
    for response in &operation.responses {
        let mut headers = vec![ResponseHeader::ClientRequestId, ResponseHeader::RequestId];
        headers.extend(&response.headers);
        if operation.idempotent {
            headers.push(ResponseHeader::IdempotentReplayed);
        }
        headers.sort_unstable();
        let mut described = json!({
            "description": response.description,
            "headers": header_references(headers),
        });
        if let Some((media_type, schema)) = response.content {
            let schema = schemas.response(schema);
            described["content"] = json!({ media_type: { "schema": schema } });
        }
        all.insert(response.status.to_string(), described);
    }
    // Every failure is a problem, so its schema is there even if nothing else refers to it.
    schemas.response(SchemaGenerator::subschema_for::<crate::error::Problem>);
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in operation.errors() {
        by_status
            .entry(code.status().as_u16())
            .or_default()
            .push(code);
    }
    for (status, codes) in by_status {
        all.insert(status.to_string(), errors.reference(&codes));
    }
    Value::Object(all)
}
