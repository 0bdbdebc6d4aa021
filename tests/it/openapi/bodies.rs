//! Bodies of requests: what their schemas forbid is refused, with a pointer to the field.

use super::{DOCUMENT, operations, resolve};
use crate::support::{TestDb, client::send, system::TestApi};
use api::{
    route_table::{Access, Operation, RouteTable},
    routes,
};
use reqwest::Method;
use serde_json::{Value, json};

const NOTHING: &str = "0198c1d2-0000-7000-8000-000000000000";

/// The operations of tenants that take JSON, with the schema of their bodies.
fn with_bodies() -> Vec<(Operation, &'static Value)> {
    let (table, _) = RouteTable::build(routes::all());
    let bodies = operations().into_iter().filter_map(|(name, described)| {
        let schema = &described["requestBody"]["content"]["application/json"]["schema"];
        let operation = table
            .operations()
            .find(|operation| operation.name == name)?;
        let ours = !matches!(operation.access, Access::Operators(_));
        (ours && !schema.is_null()).then(|| (operation.clone(), resolve(schema)))
    });
    bodies.collect()
}

#[tokio::test]
async fn array_is_no_body_and_no_object_in_one() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (operation, schema) in with_bodies() {
        let fields: Vec<_> = schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .collect();
        let mut cases = vec![
            (json!([]), String::new()),
            (vec![Value::Null; fields.len()].into(), String::new()),
        ];
        for (name, field) in fields {
            let pointer = format!("/{name}");
            if resolve(field)["type"] == "object" {
                let mut array = json!({});
                array[name] = json!([null, null]);
                cases.push((array, pointer));
            }
        }
        for (body, pointer) in cases {
            seen += 1;
            let segments = operation.path.split('/').map(|segment| {
                if segment.starts_with('{') {
                    NOTHING
                } else {
                    segment
                }
            });
            let path = segments.collect::<Vec<_>>().join("/");
            let method = Method::from_bytes(operation.method.as_str().as_bytes()).unwrap();
            let request = owner.request(method, &path).header("If-Match", "\"1\"");
            let request = request.header("Idempotency-Key", "bodies").json(&body);
            let answer = send(request).await;
            let at = &answer.body["errors"][0]["pointer"];
            if answer.status != 422 || *at != pointer {
                wrong.push(format!("{} {body}: {}", operation.name, answer.text));
            }
        }
    }
    assert!(seen > 60, "{seen} bodies");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn scope_of_an_api_key_is_refused_the_second_time() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let schema = &DOCUMENT["components"]["schemas"]["NewApiKey"];
    assert_eq!(schema["properties"]["scopes"]["uniqueItems"], true);
    let body = json!({ "name": "twice", "scopes": ["jobs:read", "jobs:write", "jobs:read"] });
    let answer = send(owner.request(Method::POST, "/v1/api-keys").json(&body)).await;
    answer.assert_problem(422, "INVALID_BODY", "a scope twice");
    assert_eq!(answer.body["errors"][0]["pointer"], "/scopes/2");
}
