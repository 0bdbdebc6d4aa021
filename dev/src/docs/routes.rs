//! `docs/api.md` and `api/openapi.json`: every operation with who may call it and what it takes, from the API's route
//! table.

use super::{code_list, head, table};
use api::{
    openapi,
    route_table::{Access, Operation, Place, RouteTable},
    routes,
};
use jobs::domain::session::Role;

/// Prints the page.
pub(super) fn page() -> String {
    let (routes, _) = RouteTable::build(routes::all());
    let introduction = "\
Every operation. Send `Authorization: Bearer <token>` with all but the public ones. Requests and responses are described
in [`api/openapi.json`](../api/openapi.json), which a running API serves at `/openapi.json`; [api-guide.md](api-guide.md)
explains how they work together, [errors.md](errors.md) lists the error codes.

In the last column `*` marks what is required. `Idempotency-Key` makes a request safe to repeat for seven days;
`If-Match` carries the version that was read, as its `ETag`.
";
    let mut text = head("API", introduction);
    let mut nouns: Vec<&str> = Vec::new();
    for operation in routes.operations() {
        let noun = noun(operation);
        if !nouns.contains(&noun) {
            nouns.push(noun);
        }
    }
    for wanted in nouns {
        let rows = routes
            .operations()
            .filter(|operation| noun(operation) == wanted)
            .map(row);
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

/// What an operation is filed under: the path's first segment behind the version.
fn noun(operation: &Operation) -> &'static str {
    let path = operation
        .path
        .strip_prefix("/v1/")
        .unwrap_or(&operation.path[1..]);
    path.split(['/', ':', '.']).next().unwrap_or(path)
}

fn row(operation: &Operation) -> [String; 4] {
    [
        format!("`{} {}`", operation.method, operation.path),
        operation.summary.to_owned(),
        who(operation.access),
        takes(operation),
    ]
}

fn who(access: Access) -> String {
    match access {
        Access::Public => "public".to_owned(),
        Access::Session(scope) => {
            let roles: Vec<Role> = Role::ALL
                .into_iter()
                .filter(|role| role.carries(scope))
                .collect();
            if roles.len() == Role::ALL.len() {
                "every role".to_owned()
            } else {
                let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
                roles.join(", ")
            }
        }
        Access::Fleet(_) => "operators".to_owned(),
    }
}

/// Query parameters and headers, the required ones marked.
fn takes(operation: &Operation) -> String {
    let named = |place: Place| {
        let parameters = operation
            .parameters
            .iter()
            .filter(move |parameter| parameter.place == place);
        let names = parameters.map(|parameter| {
            let mark = if parameter.required { "*" } else { "" };
            format!("{}{mark}", parameter.name)
        });
        names.collect::<Vec<_>>()
    };
    let (query, headers) = (named(Place::Query), named(Place::Header));
    let parts = [query, headers].map(|names| code_list(names.iter().map(String::as_str)));
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}
