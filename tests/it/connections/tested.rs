//! Whether a connection works is found out at the provider, for real, and the connection says so from then on.

use super::connect;
use crate::{
    actions::sending::TestApp,
    mailbox::app_with,
    support::{
        Client,
        client::{TestResponse, send},
        dovecot::{Dovecot, PASSWORD},
        radicale::{self, Radicale},
    },
};
use jobs::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

async fn ask(client: &Client, connection: &str) -> TestResponse {
    let path = format!("/v1/connections/{connection}/test");
    send(client.request(Method::POST, &path)).await
}

/// What the test of it finds.
pub(super) async fn tested(app: &TestApp, connection: &str) -> Value {
    let asked = ask(&app.client, connection).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    assert_eq!(asked.body["kind"], "connection.test");
    let job = app
        .client
        .finished(asked.body["id"].as_str().unwrap())
        .await;
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(job["output"]["connection_id"], connection);
    job["output"].clone()
}

async fn status(app: &TestApp, connection: &str) -> String {
    let path = format!("/v1/connections/{connection}");
    let found = app.client.get(&path).await;
    found.body["status"].as_str().unwrap().to_owned()
}

pub(super) fn found(what: &str, code: Option<&str>) -> Value {
    json!({"what": what, "ok": code.is_none(), "code": code})
}

#[tokio::test]
async fn each_server_of_an_email_account_is_signed_in_to_and_nothing_is_sent() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    app.sink.demand(PASSWORD);
    let worker = app.worker().await;
    let output = tested(&app, &app.connection).await;
    assert_eq!(output["ok"], true, "{output}");
    let both = json!([found("smtp", None), found("imap", None)]);
    assert_eq!(output["tried"], both);
    assert_eq!(app.sink.received(), []);
    drop(dovecot);
    let output = tested(&app, &app.connection).await;
    let one = json!([found("smtp", None), found("imap", Some("imap_unreachable"))]);
    assert_eq!((&output["ok"], &output["tried"]), (&json!(false), &one));
    assert_eq!(status(&app, &app.connection).await, "active");
    let log = worker.process.log();
    assert!(!log.contains(PASSWORD), "{log}");
}

#[tokio::test]
async fn refused_password_asks_for_a_new_one_until_it_is_taken() {
    let app = TestApp::open().await;
    app.sink.demand("another");
    let _worker = app.worker().await;
    let output = tested(&app, &app.connection).await;
    let refused = json!([found("smtp", Some("smtp_auth_refused"))]);
    assert_eq!(output["tried"], refused, "{output}");
    assert_eq!(status(&app, &app.connection).await, "reauth_required");
    // The provider has come to its senses.
    app.sink.demand(PASSWORD);
    assert_eq!(tested(&app, &app.connection).await["ok"], true);
    assert_eq!(status(&app, &app.connection).await, "active");
    let entries: String = app
        .db
        .one("select string_agg(action, ' ' order by id) from audit_entries where action like 'connection.re%'")
        .await;
    assert_eq!(entries, "connection.refused connection.restored");
}

#[tokio::test]
async fn calendar_is_distinguished_from_other_urls() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    let _worker = app.worker().await;
    let account = |url: &str, password: &str| json!({"provider": "caldav", "url": url, "username": radicale::USER, "password": password});
    let home = radicale.calendar.replace("work/", "");
    for (url, password, code) in [
        (&radicale.calendar, radicale::PASSWORD, None),
        (&home, radicale::PASSWORD, Some("calendar_not_found")),
        (
            &radicale.calendar.replace("work", "nowhere"),
            radicale::PASSWORD,
            Some("calendar_not_found"),
        ),
        (
            &radicale.calendar.replace("work", "private"),
            "wrong",
            Some("calendar_auth_refused"),
        ),
    ] {
        let made = connect(&app.client, &account(url, password)).await;
        let id = made.body["id"].as_str().unwrap();
        let output = tested(&app, id).await;
        assert_eq!(output["tried"], json!([found("caldav", code)]), "{url}");
    }
}

#[tokio::test]
async fn webhook_gets_a_signed_call_that_says_it_is_a_test_and_may_say_that_it_is_gone() {
    let app = TestApp::open().await;
    let receiver = MockServer::start().await;
    for status in [204, 410] {
        let answer = Mock::given(any()).respond_with(ResponseTemplate::new(status));
        answer.up_to_n_times(1).mount(&receiver).await;
    }
    let account = json!({"provider": "webhook", "url": receiver.uri()});
    let made = connect(&app.client, &account).await;
    let id = made.body["id"].as_str().unwrap();
    let _worker = app.worker().await;
    assert_eq!(tested(&app, id).await["ok"], true);
    let calls = receiver.received_requests().await.unwrap();
    let body: Value = serde_json::from_slice(&calls[0].body).unwrap();
    assert_eq!(body["type"], "connection.test");
    assert_eq!(body["id"], calls[0].headers["webhook-id"].to_str().unwrap());
    assert!(calls[0].headers.contains_key("webhook-signature"));
    let output = tested(&app, id).await;
    let gone = json!([found("webhook", Some("webhook_gone"))]);
    assert_eq!(output["tried"], gone, "{output}");
    assert_eq!(status(&app, id).await, "revoked");
    ask(&app.client, id)
        .await
        .assert_problem(404, "NOT_FOUND", "it has ended");
}

#[tokio::test]
async fn who_asks_twice_waits_for_one_test_and_a_colleague_asks_for_none() {
    let app = TestApp::open().await;
    let first = ask(&app.client, &app.connection).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let location = first.header("location").unwrap();
    assert_eq!(location, first.body["links"]["self"]);
    let second = ask(&app.client, &app.connection).await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert_eq!(second.body["id"], first.body["id"]);
    let colleague = app.client.colleague(&app.db, Role::Member).await;
    ask(&colleague, &app.connection)
        .await
        .assert_problem(404, "NOT_FOUND", "not theirs");
}

#[tokio::test]
async fn test_that_cannot_be_enqueued_now_is_to_be_asked_for_again() {
    let app = TestApp::open().await;
    let mut migration = app.db.pool().begin().await.unwrap();
    sqlx::raw_sql("lock table jobs in access exclusive mode")
        .execute(&mut *migration)
        .await
        .unwrap();
    let refused = ask(&app.client, &app.connection).await;
    refused.assert_problem(503, "UNAVAILABLE", "jobs are locked");
    assert!(refused.retry_after().is_some());
}
