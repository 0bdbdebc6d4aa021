//! `docs/api.md` and `api/openapi.json`: every operation, who may call it and what it takes.
//!
//! Who may call is in the route table alone; all else is read from the OpenAPI document, as a client would read it.

use super::{code_list, head, table};
use api::{
    openapi,
    route_table::{Access, Operation, RouteTable},
    routes,
};
use jobs::domain::session::Role;
use serde_json::Value;

/// Prints the page.
pub(super) fn page() -> String {
    let (routes, _) = RouteTable::build(routes::all());
    let document = openapi::document(&routes);
    let introduction = "\
Every operation. Send `Authorization: Bearer <token>` with all but the public ones. Requests and responses are described
in [`api/openapi.json`](../api/openapi.json), which a running API serves at `/openapi.json`; [api-guide.md](api-guide.md)
explains how they work together, [errors.md](errors.md) lists the error codes.

In the last column `*` marks what is required. `Idempotency-Key` makes a request safe to repeat for seven days;
`If-Match` carries the version that was read, as its `ETag`.
";
    let mut text = head("API", introduction);
    let mut headings: Vec<String> = Vec::new();
    for operation in routes.operations() {
        let heading = heading(operation, described(&document, operation));
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for wanted in headings {
        let rows = routes.operations().filter_map(|operation| {
            let described = described(&document, operation);
            (heading(operation, described) == wanted).then(|| row(&document, operation, described))
        });
        text.push_str(&format!("\n## {wanted}\n\n"));
        text.push_str(&table(
            ["method, path", "what it does", "who", "takes"],
            rows,
        ));
    }
    text
}

/// Prints the OpenAPI document.
pub(super) fn openapi() -> String {
    let (routes, _) = RouteTable::build(routes::all());
    let document = serde_json::to_string_pretty(&openapi::document(&routes));
    document.expect("a JSON value can be written") + "\n"
}

/// What the document says of an operation.
fn described<'a>(document: &'a Value, operation: &Operation) -> &'a Value {
    &document["paths"][operation.path][operation.method.as_str().to_lowercase()]
}

/// What an operation is filed under: its tag, or the path's first segment behind the version.
fn heading(operation: &Operation, described: &Value) -> String {
    let path = operation
        .path
        .strip_prefix("/v1/")
        .unwrap_or(&operation.path[1..]);
    let noun = path.split(['/', ':', '.']).next().unwrap_or(path);
    let tag = described["tags"][0].as_str();
    tag.unwrap_or(noun).to_owned()
}

fn row(document: &Value, operation: &Operation, described: &Value) -> [String; 4] {
    [
        format!("`{} {}`", operation.method, operation.path),
        operation.summary.to_owned(),
        who(operation.access),
        takes(document, described),
    ]
}

fn who(access: Access) -> String {
    if access == Access::Public {
        return "public".to_owned();
    }
    let Access::Session(scope) = access else {
        return "operators".to_owned();
    };
    let roles: Vec<&str> = Role::ALL
        .into_iter()
        .filter(|role| role.carries(scope))
        .map(Role::as_str)
        .collect();
    if roles.len() == Role::ALL.len() {
        "every role".to_owned()
    } else {
        roles.join(", ")
    }
}

/// Query parameters, then headers, the required ones marked.
fn takes(document: &Value, described: &Value) -> String {
    let parameters: Vec<&Value> = described["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|parameter| resolved(document, parameter))
        .collect();
    let named = ["query", "header"].map(|place| {
        let here = parameters
            .iter()
            .filter(|parameter| parameter["in"] == place);
        let names: Vec<String> = here
            .filter_map(|parameter| {
                let mark = if parameter["required"] == true {
                    "*"
                } else {
                    ""
                };
                Some(format!("{}{mark}", parameter["name"].as_str()?))
            })
            .collect();
        code_list(names.iter().map(String::as_str))
    });
    let parts: Vec<String> = named.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}

/// The parameter itself, where the document only refers to it.
fn resolved<'a>(document: &'a Value, parameter: &'a Value) -> Option<&'a Value> {
    match parameter["$ref"].as_str() {
        Some(reference) => document.pointer(reference.strip_prefix('#')?),
        None => Some(parameter),
    }
}
