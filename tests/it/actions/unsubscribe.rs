//! `unsubscribe`: one request, after an approval, at the address that the list's email signs.

use super::{approved::approval_in, sending::TestApp};
use crate::support::client::send;
use base::JobId;
use reqwest::Method;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

async fn list(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(status))
        .mount(&server)
        .await;
    server
}

/// Submits an email of the list; its id.
async fn newsletter(app: &TestApp, server: &MockServer, signed: &str) -> Value {
    newsletter_with(app, server, signed, "1").await
}

/// The same with this token in the address to unsubscribe at.
async fn newsletter_with(app: &TestApp, server: &MockServer, signed: &str, token: &str) -> Value {
    let email = format!(
        "Message-ID: <{}@news.example>\r\nFrom: News <news@news.example>\r\nTo: owner@acme.example\r\nSubject: News\r\n\
         DKIM-Signature: v=1; d=news.example; h=From:{signed}; b=x\r\n\
         List-Unsubscribe: <{}/u?t={token}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nNews.\r\n",
        JobId::new(),
        server.uri()
    );
    let request = app
        .client
        .request(Method::POST, "/v1/jobs/triage?mode=rules_only")
        .header("Idempotency-Key", JobId::new().to_string())
        .header("Content-Type", "message/rfc822")
        .body(email);
    let submitted = send(request).await;
    let job = app
        .client
        .finished(submitted.body["id"].as_str().expect(&submitted.text))
        .await;
    job["output"]["message"]["id"].clone()
}

fn unsubscribe(message: &Value) -> Value {
    json!({"type": "unsubscribe", "payload": {}, "message_id": message})
}

#[tokio::test]
async fn user_is_unsubscribed_by_one_request_after_an_approval() {
    let (app, server) = (TestApp::open().await, list(200).await);
    let _worker = app.worker().await;
    let message = newsletter(&app, &server, "List-Unsubscribe:List-Unsubscribe-Post").await;
    let trusting = json!({"trust_mode": "autonomous", "sending_disabled": false});
    let put = app
        .client
        .request(Method::PUT, "/v1/settings")
        .json(&trusting);
    assert_eq!(send(put).await.status, 200);
    let approval = app.proposed(&unsubscribe(&message)).await;
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(
        (request.method.as_str(), request.url.query()),
        ("POST", Some("t=1"))
    );
    assert_eq!(request.body, b"List-Unsubscribe=One-Click");
    assert_eq!(
        request.headers.get("content-type").unwrap(),
        "application/x-www-form-urlencoded"
    );
    assert!(
        request.headers.get("cookie").is_none() && request.headers.get("authorization").is_none()
    );
    assert_eq!(app.effect().await["receipt"]["status"], 200);
}

#[tokio::test]
async fn unsigned_offer_and_refusal_of_the_list_are_told() {
    let (app, server) = (TestApp::open().await, list(404).await);
    let _worker = app.worker().await;
    for (signed, code, requests) in [
        ("Subject", "not_one_click", 0),
        (
            "List-Unsubscribe:List-Unsubscribe-Post",
            "unsubscribe_refused",
            1,
        ),
    ] {
        let message = newsletter(&app, &server, signed).await;
        let approval = app.proposed(&unsubscribe(&message)).await;
        app.agree(&approval).await;
        let ended = approval_in(&app.client, &approval, "failed").await;
        assert_eq!(ended["error"]["code"], code, "{ended}");
        assert_eq!(server.received_requests().await.unwrap().len(), requests);
    }
}

#[tokio::test]
async fn address_as_long_as_lists_write_them_is_requested_whole() {
    let (app, server) = (TestApp::open().await, list(200).await);
    let _worker = app.worker().await;
    let token = "t".repeat(1_500);
    let signed = "List-Unsubscribe:List-Unsubscribe-Post";
    let message = newsletter_with(&app, &server, signed, &token).await;
    let approval = app.proposed(&unsubscribe(&message)).await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].url.query(), Some(&*format!("t={token}")));
}
