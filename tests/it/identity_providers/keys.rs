//! Keys that a provider publishes: fetched by a worker, never by the API, and again when a token names a new one.

use super::signing::{SigningKey, key_set};
use super::{AUDIENCE, ISSUER, OWN, claims, exchange, open, put};
use crate::support::{
    caller::Caller,
    eventually,
    people::TestTenant,
    system::{TestApi, Worker},
    wait::SOON,
};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

/// Publishes these keys in place of the former ones.
async fn publish(server: &MockServer, keys: &[&SigningKey]) {
    server.reset().await;
    let answer = ResponseTemplate::new(200).set_body_json(key_set(keys));
    Mock::given(path("/keys"))
        .respond_with(answer)
        .mount(server)
        .await;
}

async fn asked(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

/// What the API shows of the provider once it is as the test wants.
async fn shown(caller: &Caller, acme: &TestTenant, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(SOON * 2, async || {
        let found = caller.get(OWN, acme.owner_token.expose()).await.body;
        if wanted(&found) {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .await
}

/// As if the last request for keys had been so many seconds ago.
async fn later(acme: &TestTenant, seconds: u32) {
    acme.db
        .execute(&format!(
            "update identity_providers set asked_at = asked_at - interval '{seconds} s',
                 wanted_at = wanted_at - interval '{seconds} s'"
        ))
        .await;
}

async fn open_with(allow_private: &str) -> (TestTenant, TestApi, Caller, Worker, MockServer) {
    let (acme, api, caller) = open().await;
    let variables = [
        ("LLM_TESTING_MODE", "true"),
        ("OUTBOUND_ALLOW_PRIVATE", allow_private),
    ];
    let worker = Worker::spawn_with(&acme.db, &variables).await;
    (acme, api, caller, worker, MockServer::start().await)
}

async fn put_url(caller: &Caller, acme: &TestTenant, server: &MockServer) {
    let body = json!({"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": format!("{}/keys", server.uri())});
    let stored = put(caller, acme.owner_token.expose(), &body).await;
    assert_eq!(stored.status, 200, "{}", stored.text);
}

#[tokio::test]
async fn keys_are_fetched_again_when_a_token_names_a_new_one_and_once_a_minute_at_most() {
    let (acme, _api, caller, _worker, server) = open_with("true").await;
    let (old, new) = (SigningKey::p256("old"), SigningKey::p256("new"));
    publish(&server, &[&old]).await;
    put_url(&caller, &acme, &server).await;
    shown(&caller, &acme, |found| found["key_ids"] == json!(["old"])).await;
    assert_eq!(exchange(&caller, &old.token(&claims())).await.status, 201);

    publish(&server, &[&old, &new]).await;
    for _ in 0..3 {
        let refused = exchange(&caller, &new.token(&claims())).await;
        refused.assert_problem(401, "TOKEN_REFUSED", "its key is not known yet");
    }
    let wanted: i64 = acme
        .db
        .one("select count(*) from identity_providers where wanted_at > asked_at")
        .await;
    assert_eq!(
        (wanted, asked(&server).await),
        (1, 0),
        "a minute has not passed"
    );
    later(&acme, 61).await;
    shown(&caller, &acme, |found| {
        found["key_ids"] == json!(["old", "new"])
    })
    .await;
    assert_eq!(asked(&server).await, 1);
    assert_eq!(exchange(&caller, &new.token(&claims())).await.status, 201);
    assert_eq!(exchange(&caller, &old.token(&claims())).await.status, 201);

    publish(&server, &[&new]).await;
    later(&acme, 3601).await;
    shown(&caller, &acme, |found| found["key_ids"] == json!(["new"])).await;
    let refused = exchange(&caller, &old.token(&claims())).await;
    refused.assert_problem(401, "TOKEN_REFUSED", "its key was withdrawn");
    let named: i64 = acme
        .db
        .one("select count(*) from audit_entries a where a::text like '%ada@acme.example%'")
        .await;
    assert_eq!(named, 0);
}

#[tokio::test]
async fn keys_stay_while_their_server_is_away_or_publishes_nonsense() {
    let (acme, _api, caller, _worker, server) = open_with("true").await;
    let key = SigningKey::ed25519("e");
    publish(&server, &[&key]).await;
    put_url(&caller, &acme, &server).await;
    shown(&caller, &acme, |found| found["key_ids"] == json!(["e"])).await;
    for (answer, code) in [
        (ResponseTemplate::new(500), "keys_refused"),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            "keys_unreadable",
        ),
        (
            ResponseTemplate::new(200).set_body_json(json!({"keys": []})),
            "no_usable_keys",
        ),
    ] {
        server.reset().await;
        Mock::given(path("/keys"))
            .respond_with(answer)
            .mount(&server)
            .await;
        later(&acme, 3601).await;
        let found = shown(&caller, &acme, |found| found["last_error"] == code).await;
        assert_eq!(found["key_ids"], json!(["e"]));
        assert_eq!(exchange(&caller, &key.token(&claims())).await.status, 201);
    }
}

#[tokio::test]
async fn keys_whose_server_has_failed_for_a_day_open_no_session() {
    let (acme, _api, caller, _worker, server) = open_with("true").await;
    let key = SigningKey::ed25519("e");
    publish(&server, &[&key]).await;
    put_url(&caller, &acme, &server).await;
    shown(&caller, &acme, |found| found["key_ids"] == json!(["e"])).await;
    assert_eq!(exchange(&caller, &key.token(&claims())).await.status, 201);
    server.reset().await;
    acme.db
        .execute("update identity_providers set fetched_at = now() - interval '25 hours'")
        .await;
    let refused = exchange(&caller, &key.token(&claims())).await;
    refused.assert_problem(401, "TOKEN_REFUSED", "the key may have been withdrawn");
}

#[tokio::test]
async fn server_of_keys_that_does_not_answer_holds_up_no_other_duty() {
    let (acme, _api, caller, worker, server) = open_with("true").await;
    let slow = ResponseTemplate::new(200).set_delay(SOON * 10);
    Mock::given(path("/keys"))
        .respond_with(slow)
        .mount(&server)
        .await;
    put_url(&caller, &acme, &server).await;
    shown(&caller, &acme, |found| found["last_error"] == "timeout").await;
    assert!(!worker.process.log().contains("maintenance duty timed out"));
}

#[tokio::test]
async fn keys_are_not_fetched_from_our_own_network() {
    let (acme, _api, caller, _worker, server) = open_with("false").await;
    publish(&server, &[&SigningKey::p256("p")]).await;
    put_url(&caller, &acme, &server).await;
    let found = shown(&caller, &acme, |found| !found["last_error"].is_null()).await;
    assert_eq!(found["last_error"], "encryption_required");
    assert_eq!(asked(&server).await, 0);
}
