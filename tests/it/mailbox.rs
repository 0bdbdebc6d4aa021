//! What is done in a user's mailbox, seen from the files of a real Dovecot.

pub(crate) mod changes;
mod colleague;
mod less;
mod namespace;
mod odd;
mod sent;

use crate::{
    actions::sending::TestApp,
    support::{
        TestDb,
        client::send,
        dovecot::{Dovecot, PASSWORD, USER},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

/// An app whose account has a mailbox.
pub(crate) async fn app_with(dovecot: &Dovecot) -> TestApp {
    app_at(dovecot.port).await
}

/// The same by way of a port that leads there.
pub(crate) async fn app_at(port: u16) -> TestApp {
    app_on(TestDb::new().await, port).await
}

/// The same on a database that the test made.
pub(crate) async fn app_on(db: TestDb, port: u16) -> TestApp {
    let imap = json!({"host": "127.0.0.1", "port": port, "security": "none"});
    TestApp::open_on(db, |account| {
        account["imap"] = imap;
        account["username"] = Value::from(USER);
        account["password"] = Value::from(PASSWORD);
    })
    .await
}

#[tokio::test]
async fn account_says_where_its_mailbox_is_and_nothing_of_its_secret() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let path = format!("/v1/connections/{}", app.connection);
    let read = app.client.get(&path).await;
    assert_eq!(read.body["imap"]["port"], dovecot.port, "{}", read.text);
    assert!(!read.text.contains(PASSWORD));
    let wrong = json!({
        "provider": "imap_smtp", "address": "other@acme.example", "username": "", "password": "",
        "smtp": {"host": "127.0.0.1", "port": 25, "security": "none"},
        "imap": {"host": "127.0.0.1/x", "port": 143, "security": "none"}
    });
    let connect = app.client.request(Method::POST, "/v1/connections");
    let refused = send(connect.json(&wrong)).await;
    refused.assert_problem(422, "INVALID_BODY", "no host");
    assert!(refused.text.contains("/imap"), "{}", refused.text);
}
