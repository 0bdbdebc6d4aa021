//! What is served is what is declared, and nothing of it without a session.

use crate::support::{
    Client, TestDb,
    binaries::root,
    client::{http, send},
    system::TestApi,
};
use api::{
    openapi,
    route_table::{Access, Operation, RouteTable},
    routes,
};
use jobs::domain::{SessionToken, session::Role};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::{collections::BTreeSet, fs};

fn table() -> RouteTable {
    RouteTable::build(routes::all()).0
}

/// The operation's path with something in place of its parameters.
fn path(operation: &Operation) -> String {
    let segments = operation.path.split('/').map(|segment| {
        if segment.starts_with('{') {
            "0198c1d2-0000-7000-8000-000000000000"
        } else {
            segment
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// A request for the operation without a token, as complete as the table can make it.
fn request(api: &TestApi, operation: &Operation) -> RequestBuilder {
    let method = Method::from_bytes(operation.method.as_str().as_bytes()).unwrap();
    let mut request = http().request(method, format!("http://{}{}", api.addr, path(operation)));
    if operation.idempotent {
        request = request.header("Idempotency-Key", "routes-1");
    }
    if let Some((media_type, _)) = operation.bodies.first() {
        request = request.header("Content-Type", *media_type).body("{}");
    }
    request
}

#[tokio::test]
async fn every_declared_operation_is_served_and_every_private_one_refuses_without_a_session() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    for operation in table().operations() {
        let answer = send(request(&api, operation)).await;
        match operation.access {
            Access::Session(_) | Access::Operators(_) => {
                answer.assert_problem(401, "UNAUTHENTICATED", operation.name);
            }
            Access::Public => assert!(
                ![404, 405, 500].contains(&answer.status.as_u16()),
                "{} answered {}",
                operation.name,
                answer.status
            ),
        }
    }
}

#[tokio::test]
async fn only_opening_a_session_accepting_an_invite_and_the_description_are_public() {
    let public: BTreeSet<&str> = table()
        .operations()
        .filter(|operation| operation.access == Access::Public)
        .map(|operation| operation.path)
        .collect();
    // This list may only shrink: everything else asks for a session.
    let allowed = BTreeSet::from([
        "/docs",
        "/openapi.json",
        "/v1/onboarding/accept",
        "/v1/onboarding/reset-password",
        "/v1/sessions",
        "/v1/sessions/exchange",
    ]);
    assert!(public.is_subset(&allowed), "{public:?}");
}

#[tokio::test]
async fn token_that_is_none_opens_nothing() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let unknown = format!("Bearer {}", SessionToken::generate().expose());
    let private = table();
    let private = private
        .operations()
        .filter(|operation| operation.access != Access::Public);
    for operation in private {
        for token in ["Bearer", "Bearer nonsense", "Basic bWU6bWU=", &unknown] {
            let answer = send(request(&api, operation).header("Authorization", token)).await;
            answer.assert_problem(401, "UNAUTHENTICATED", operation.name);
            assert!(answer.header("www-authenticate").is_some());
        }
    }
}

#[tokio::test]
async fn every_operation_refuses_the_roles_that_do_not_carry_its_scope() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    for &role in Role::ALL {
        let user = owner.colleague(&db, role).await;
        for operation in table().operations() {
            let scope = match operation.access {
                Access::Session(scope) => scope,
                // Whose business that is, `admin::access` holds against every role of every tenant.
                Access::Public | Access::Operators(_) => continue,
            };
            // An operation that ends the session would end this test.
            if role.carries(scope) {
                continue;
            }
            let request = request(&api, operation).header("Authorization", user.authorization());
            let about = format!("{} as {}", operation.name, role.as_str());
            send(request).await.assert_problem(403, "FORBIDDEN", &about);
        }
    }
}

#[tokio::test]
async fn what_is_not_declared_is_not_there() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    for path in [
        "/webhooks/nylas",
        "/",
        "/v1",
        "/v1/",
        "/v1/jobs/",
        "/dev",
        "/dev/emails",
        "/metrics",
        "/livez",
        "/v1/jobs/triage/",
        "//v1/rules",
        "/v1/rules/../rules/x",
        "/health",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let answer = send(client.request(method.clone(), path)).await;
            let about = format!("{method} {path}");
            answer.assert_problem(404, "NOT_FOUND", &about);
        }
    }
}

#[tokio::test]
async fn method_that_is_not_offered_is_refused_with_those_that_are() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let answer = send(client.request(Method::DELETE, "/v1/rules")).await;
    answer.assert_problem(405, "METHOD_NOT_ALLOWED", "DELETE /v1/rules");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, PUT"));
}

#[tokio::test]
async fn document_names_exactly_the_declared_operations() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let served = Client::owner_of_new_tenant(&db)
        .await
        .at(api.addr)
        .get("/openapi.json")
        .await
        .body;
    let documented: BTreeSet<(String, String)> = served["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.keys().map(|method| (path.clone(), method.clone()))
        })
        .collect();
    let declared: BTreeSet<(String, String)> = table()
        .operations()
        .map(|o| (o.path.to_owned(), o.method.as_str().to_lowercase()))
        .collect();
    assert_eq!(documented, declared);
}

#[test]
fn committed_document_is_the_served_one() {
    let path = root().join("api/openapi.json");
    let committed: Value =
        serde_json::from_str(&fs::read_to_string(path).expect("api/openapi.json")).unwrap();
    assert!(
        committed == openapi::document(&table()),
        "the API's surface changed; if it was meant to: cargo dev docs"
    );
}

#[test]
fn every_operation_says_what_it_does_takes_and_gives() {
    for operation in table().operations() {
        let name = operation.name;
        assert!(!operation.summary.is_empty(), "{name} has no summary");
        assert!(!operation.responses.is_empty(), "{name} has no response");
        let reads = operation.method == Method::GET;
        assert!(!reads || operation.bodies.is_empty(), "{name} reads a body");
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    found.insert(reference.clone());
                }
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = openapi::document(&table());
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
