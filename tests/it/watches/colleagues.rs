//! An email that came to two people of one tenant: it is judged once, and is in the inbox of each.

use super::{QUICK, app_with, checked_again, has_jobs, jobs, watch};
use crate::{
    actions::sending::TestApp,
    support::{
        Client,
        client::send,
        dovecot::{Dovecot, PASSWORD, USER},
        eventually,
        wait::SOON,
    },
};
use base::hex;
use jobs::domain::{mail::Mail, session::Role};
use reqwest::Method;
use serde_json::json;

/// A colleague with an account of their own, and its id.
async fn colleague_with(app: &TestApp, dovecot: &Dovecot) -> (Client, String) {
    let client = app.client.colleague(&app.db, Role::Member).await;
    let account = json!({
        "provider": "imap_smtp", "address": "colleague@acme.example", "username": USER, "password": PASSWORD,
        "smtp": {"host": "127.0.0.1", "port": app.sink.addr.port(), "security": "none"},
        "imap": {"host": "127.0.0.1", "port": dovecot.port, "security": "none"},
    });
    let request = client.request(Method::POST, "/v1/connections");
    let connected = send(request.json(&account)).await;
    assert_eq!(connected.status, 201, "{}", connected.text);
    (client, connected.body["id"].as_str().unwrap().to_owned())
}

async fn watch_of(client: &Client, connection: &str) {
    let path = format!("/v1/connections/{connection}/watch");
    let body = json!({"folders": ["INBOX", "\\Sent"], "since": "2026-01-01T00:00:00Z"});
    let set = send(client.request(Method::PUT, &path).json(&body)).await;
    assert_eq!(set.status, 200, "{}", set.text);
}

fn question(from: &str, number: usize) -> String {
    format!(
        "From: {from}\r\nTo: owner@acme.example, colleague@acme.example\r\nSubject: A question {number}\r\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <question.{number}@example.org>\r\n\r\nWhich one is it?\r\n"
    )
}

/// Waits until the person has so many items about emails.
async fn has_items(client: &Client, count: usize) {
    eventually(SOON, async || {
        let inbox = client.get("/v1/inbox").await.text;
        let found = inbox.matches("\"title\":\"A question").count();
        (found == count).then_some(()).ok_or(inbox)
    })
    .await;
}

#[tokio::test]
async fn email_of_two_people_is_judged_once_and_in_the_inbox_of_both() {
    let (first, second) = (Dovecot::start().await, Dovecot::start().await);
    let app = app_with(&first).await;
    let (colleague, account) = colleague_with(&app, &second).await;
    let _worker = app.worker_with(QUICK).await;
    // The colleague's mailbox is read when the email was judged.
    watch(&app, &["INBOX"]).await;
    first.deliver("INBOX", &question("bob@example.org", 1));
    has_items(&app.client, 1).await;
    has_items(&colleague, 0).await;
    second.deliver("INBOX", &question("bob@example.org", 1));
    watch_of(&colleague, &account).await;
    has_items(&colleague, 1).await;
    // It was read before.
    let email = question("bob@example.org", 2);
    let hash = Mail::parse(email.as_bytes()).unwrap().content_hash();
    app.db
        .execute(&format!(
            "insert into fetched_emails (tenant_id, connection_id, content_hash, message_id)
             values ('{}', '{account}', decode('{}', 'hex'), gen_random_uuid())",
            app.client.tenant,
            hex(&hash)
        ))
        .await;
    first.deliver("INBOX", &email);
    has_items(&app.client, 2).await;
    has_items(&colleague, 2).await;
    assert_eq!(jobs(&app).await, 2, "each is judged once");
    // What one of them does with it leaves the other's as it is.
    let inbox = colleague.get("/v1/inbox").await.body;
    let item = &inbox["visible"][0];
    let path = format!("/v1/inbox/{}/complete", item["id"].as_str().unwrap());
    let request = colleague
        .request(Method::POST, &path)
        .header("If-Match", format!("\"{}\"", item["version"]));
    let completed = send(request).await;
    assert_eq!(completed.status, 200, "{}", completed.text);
    has_items(&colleague, 1).await;
    has_items(&app.client, 2).await;
}

#[tokio::test]
async fn email_to_a_colleague_is_not_in_the_inbox_of_its_sender() {
    let (first, second) = (Dovecot::start().await, Dovecot::start().await);
    let app = app_with(&first).await;
    let (colleague, account) = colleague_with(&app, &second).await;
    let _worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX"]).await;
    watch_of(&colleague, &account).await;
    checked_again(&app, "INBOX").await;
    // One is judged first, of the other the copy among the sent ones is read first.
    first.deliver("INBOX", &question("colleague@acme.example", 1));
    has_items(&app.client, 1).await;
    second.deliver("Sent", &question("colleague@acme.example", 1));
    second.deliver("Sent", &question("colleague@acme.example", 2));
    has_jobs(&app, 2).await;
    first.deliver("INBOX", &question("colleague@acme.example", 2));
    checked_again(&app, "INBOX").await;
    has_items(&app.client, 2).await;
    let read: i64 = app.db.one("select count(*) from fetched_emails").await;
    assert_eq!(read, 4);
    has_items(&colleague, 0).await;
}
