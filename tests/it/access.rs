//! The authorisation matrix: every operation of the OpenAPI document against every kind of caller.

mod colleagues;
mod expected;

use crate::actions::sending::KEYS;
use crate::support::{
    Client, TestDb,
    api_keys::{all_scopes, issue, key},
    client::{TestResponse, http, send},
    system::TestApi,
};
use api::{
    openapi,
    route_table::{Operation, RouteTable},
    routes,
};
use expected::{OPERATIONS, Who};
use jobs::domain::{ApiKeyToken, SessionToken, api_key::KeyScope, session::Role};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The id of nothing.
const NOTHING: &str = "0198c1d2-0000-7000-8000-000000000000";

/// Ends the session that would call the operations after it.
const ENDS_ITSELF: &str = "end_current_session";

fn table() -> RouteTable {
    RouteTable::build(routes::all()).0
}

/// The operations that need somebody, with who and which scope of a key.
fn private() -> Vec<(Operation, &'static [Role], Option<&'static str>)> {
    let table = table();
    let expected = OPERATIONS.iter().filter_map(|(name, who, scope)| {
        let Who::Roles(roles) = who else { return None };
        let operation = table.operations().find(|operation| operation.name == *name);
        Some((operation?.clone(), *roles, *scope))
    });
    expected.collect()
}

/// A request for the operation about `id`, with a body that changes nothing.
fn request(api: &TestApi, operation: &Operation, id: &str) -> RequestBuilder {
    let segments = operation.path.split('/').map(|segment| {
        if segment.starts_with('{') {
            id
        } else {
            segment
        }
    });
    let path = segments.collect::<Vec<_>>().join("/");
    let method = Method::from_bytes(operation.method.as_str().as_bytes()).unwrap();
    let mut request = http().request(method, format!("http://{}{path}", api.addr));
    if operation.idempotent {
        request = request.header("Idempotency-Key", "access-1");
    }
    if let Some((media_type, _)) = operation.bodies.first() {
        request = request
            .header("Content-Type", *media_type)
            .body(r#"{"no such field":1}"#);
    }
    request
}

async fn call(api: &TestApi, operation: &Operation, id: &str, token: &str) -> TestResponse {
    send(request(api, operation, id).bearer_auth(token)).await
}

/// Whether the door was passed: whatever is wrong with the request was found behind it.
#[track_caller]
fn assert_let_in(answer: &TestResponse, about: &str) {
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status);
    assert!(!refused, "{about}: {}", answer.text);
    assert!(!answer.status.is_server_error(), "{about}: {}", answer.text);
}

#[test]
fn matrix_knows_exactly_the_operations_of_the_document() {
    let document = openapi::document(&table());
    let documented: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let expected: BTreeSet<&str> = OPERATIONS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        expected.len(),
        OPERATIONS.len(),
        "an operation is listed twice"
    );
    assert_eq!(
        documented, expected,
        "add the operation to access/expected.rs"
    );
}

#[tokio::test]
async fn credentials_that_have_ended_open_no_operation() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let tenant = owner.tenant;
    let mut ended: Vec<(&str, Option<String>)> = vec![
        ("none", None),
        ("malformed", Some("pr_s_nonsense".to_owned())),
        ("malformed key", Some("pr_k_nonsense".to_owned())),
        (
            "unknown session",
            Some(SessionToken::generate().expose().to_owned()),
        ),
        (
            "unknown key",
            Some(ApiKeyToken::generate().expose().to_owned()),
        ),
    ];
    for (name, change) in [
        ("expired session", "expires_at = now()"),
        ("idle session", "idle_expires_at = now()"),
        (
            "revoked session",
            "revoked_at = now(), revoke_reason = 'revoked'",
        ),
    ] {
        let user = owner.colleague(&db, Role::Owner).await;
        db.execute(&format!(
            "update sessions set {change} where id = '{}'",
            user.session
        ))
        .await;
        ended.push((name, Some(user.token().to_owned())));
    }
    let rotated = owner.colleague(&db, Role::Owner).await;
    db.execute(&format!(
        "update session_tokens set superseded_at = now(), grace_until = now() where session_id = '{}'",
        rotated.session
    ))
    .await;
    ended.push(("rotated-away session", Some(rotated.token().to_owned())));
    for (name, change) in [
        (
            "expired key",
            "update api_keys set expires_at = now() where id = ",
        ),
        (
            "revoked key",
            "update api_keys set revoked_at = now() where id = ",
        ),
        (
            "rotated-away key",
            "update api_key_tokens set valid_until = now() where api_key_id = ",
        ),
        (
            "key from another address",
            "update api_keys set address_ranges = '{192.0.2.0/24}' where id = ",
        ),
    ] {
        let issued = issue(&db, tenant, all_scopes()).await;
        db.execute(&format!("{change}'{}'", issued.key.id)).await;
        ended.push((name, Some(issued.token.expose().to_owned())));
    }
    for (operation, ..) in private() {
        for (name, token) in &ended {
            let request = request(&api, &operation, NOTHING);
            let answer = match token {
                Some(token) => send(request.bearer_auth(token)).await,
                None => send(request).await,
            };
            let about = format!("{} with {name}", operation.name);
            answer.assert_problem(401, "UNAUTHENTICATED", &about);
        }
    }
}

#[tokio::test]
async fn role_opens_exactly_its_operations() {
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    let owner = api.sign_in(&db).await;
    for &role in Role::ALL {
        let user = owner.colleague(&db, role).await;
        let leaving = owner.colleague(&db, role).await;
        for (operation, roles, _) in private() {
            let caller = if operation.name == ENDS_ITSELF {
                &leaving
            } else {
                &user
            };
            let answer = call(&api, &operation, NOTHING, caller.token()).await;
            let about = format!("{} as {}", operation.name, role.as_str());
            if roles.contains(&role) {
                assert_let_in(&answer, &about);
            } else {
                answer.assert_problem(403, "FORBIDDEN", &about);
            }
        }
    }
}

#[tokio::test]
async fn key_opens_exactly_the_operations_of_its_scope() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    for scope in KeyScope::ALL {
        let token = key(&db, owner.tenant, [*scope]).await;
        for (operation, _, needed) in private() {
            let answer = call(&api, &operation, NOTHING, &token).await;
            let about = format!("{} with a key for {scope}", operation.name);
            if needed == Some(scope.as_str()) {
                assert_let_in(&answer, &about);
            } else {
                answer.assert_problem(403, "FORBIDDEN", &about);
            }
        }
    }
}

#[tokio::test]
async fn key_of_an_operators_tenant_operates_nothing() {
    let db = TestDb::new().await;
    let (api, operator) = crate::admin::with_operators(&db).await;
    let token = key(&db, operator.tenant, all_scopes()).await;
    let table = table();
    for (name, who, _) in OPERATIONS {
        if *who == Who::Operators {
            let operation = table.operations().find(|operation| operation.name == *name);
            let answer = call(&api, operation.unwrap(), "none", &token).await;
            answer.assert_problem(403, "FORBIDDEN", name);
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(detail.contains("operators:"), "{name}: {detail}");
        }
    }
}

/// The ids of things in a tenant, by the first segments of their paths.
async fn things(db: &TestDb, client: &Client) -> BTreeMap<String, String> {
    let colleague = client.colleague(db, Role::Member).await;
    let user: String = sqlx::query_scalar("select user_id::text from sessions where id = $1")
        .bind(colleague.session.0)
        .fetch_one(db.pool())
        .await
        .unwrap();
    let mail = b"From: a@client.example\r\nTo: b@postroom.example\r\nSubject: Hi\r\nMessage-ID: <a@b>\r\n\r\nHi.\r\n";
    let mut things = BTreeMap::from([
        ("/v1/users/".to_owned(), user),
        ("/v1/sessions/".to_owned(), colleague.session.to_string()),
        (
            "/v1/jobs/".to_owned(),
            client.submitted(mail, "foreign-1").await,
        ),
        (
            "/v1/api-keys/".to_owned(),
            issue(db, client.tenant, all_scopes())
                .await
                .key
                .id
                .to_string(),
        ),
    ]);
    for (path, body) in [
        ("/v1/tasks", json!({"title": "Buy paper"})),
        ("/v1/projects", json!({"name": "TestTenant"})),
        ("/v1/contacts", json!({"name": "Ada"})),
        (
            "/v1/invites",
            json!({"email": "new@postroom.example", "role": "member"}),
        ),
    ] {
        let request = client
            .request(Method::POST, path)
            .header("Idempotency-Key", "foreign-2")
            .json(&body);
        let made = send(request).await;
        assert_eq!(made.status, StatusCode::CREATED, "{path}: {}", made.text);
        let made = made.body.get("invite").unwrap_or(&made.body);
        let id = made["id"].as_str().unwrap().to_owned();
        things.insert(format!("{path}/"), id);
    }
    things
}

/// The answer without what names the request and the id.
fn shape(answer: &TestResponse, id: &str) -> (StatusCode, Value) {
    let mut body = answer.body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
        let path = body.get("instance").and_then(Value::as_str);
        let path = path.unwrap_or_default().replace(id, "");
        body.insert("instance".to_owned(), path.into());
    }
    (answer.status, body)
}

#[tokio::test]
async fn what_belongs_to_another_tenant_is_what_does_not_exist() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (owner, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let token = key(&db, owner.tenant, all_scopes()).await;
    let mut compared = 0;
    for (prefix, id) in things(&db, &other).await {
        let about = private().into_iter().filter(|(operation, ..)| {
            operation
                .path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.starts_with("{id}"))
        });
        for (operation, ..) in about {
            for token in [owner.token(), &token] {
                let foreign = call(&api, &operation, &id, token).await;
                let nothing = call(&api, &operation, NOTHING, token).await;
                assert_eq!(
                    shape(&foreign, &id),
                    shape(&nothing, NOTHING),
                    "{}",
                    operation.name
                );
                assert!(!foreign.status.is_success(), "{}", operation.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 40, "{compared}");
}
