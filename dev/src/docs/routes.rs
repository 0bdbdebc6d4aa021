//! `docs/api.md` and `api/openapi.json`: every operation with who may call it and what it takes, from the API's route
//! table.

use super::{code_list, head, table};
use api::{
    openapi,
    route_table::{Access, Operation, RouteTable, Tag},
    routes,
};
use jobs::domain::session::Role;
use serde_json::Value;

/// Prints the page.
pub(super) fn page() -> String {
    let (routes, _) = RouteTable::build(routes::all());
    let introduction = "\
Every operation. Send `Authorization: Bearer <token>` with all but the public ones. Requests and responses are described
in [`api/openapi.json`](../api/openapi.json), which a running API serves at `/openapi.json` and as a page at `/docs`; [api-guide.md](api-guide.md)
explains how they work together, [errors.md](errors.md) lists the error codes.

In the last column `*` marks what is required. `Idempotency-Key` makes a request safe to repeat for seven days;
`If-Match` carries the version that was read, as its `ETag`.
";
    let mut text = head("API", introduction);
    let document = openapi::document(&routes);
    for tag in Tag::ALL {
        let rows = routes
            .operations()
            .filter(|operation| operation.tag == *tag)
            .map(|operation| row(&document, operation));
        text.push_str(&format!("\n## {}\n\n", tag.as_str()));
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

fn row(document: &Value, operation: &Operation) -> [String; 4] {
    [
        format!("`{} {}`", operation.method, operation.path),
        operation.summary.to_owned(),
        who(operation.access),
        takes(document, operation),
    ]
}

fn who(access: Access) -> String {
    match access {
        Access::Public => "public".to_owned(),
        Access::Session(scope) => {
            let roles: Vec<Role> = Role::ALL
                .iter()
                .copied()
                .filter(|role| role.carries(scope))
                .collect();
            if roles.len() == Role::ALL.len() {
                "every role".to_owned()
            } else {
                let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
                roles.join(", ")
            }
        }
        Access::Operators(_) => "operators".to_owned(),
    }
}

/// Query parameters and headers, the required ones marked.
fn takes(document: &Value, operation: &Operation) -> String {
    let method = operation.method.as_str().to_lowercase();
    let given = &document["paths"][operation.path][method]["parameters"];
    let named = |place: &str| {
        let parameters = given.as_array().into_iter().flatten().map(|parameter| {
            let reference = parameter.get("$ref").and_then(Value::as_str);
            let target = reference.and_then(|reference| document.pointer(&reference[1..]));
            target.unwrap_or(parameter)
        });
        let names = parameters
            .filter(|parameter| parameter["in"] == place)
            .map(|parameter| {
                let mark = if parameter["required"] == true {
                    "*"
                } else {
                    ""
                };
                format!("{}{mark}", parameter["name"].as_str().unwrap_or_default())
            });
        names.collect::<Vec<_>>()
    };
    let parts = ["query", "header"].map(|place| code_list(named(place).iter().map(String::as_str)));
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}
