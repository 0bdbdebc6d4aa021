//! In whose name an approved action is executed: the person it belongs to, not the one who approves it.

use super::user_of;
use crate::{
    actions::{
        approved::approval_in,
        ask,
        sending::{TestApp, send_action},
    },
    approvals::decision,
    drafts::{generated::post, seed},
    support::{Client, client::send},
};
use jobs::domain::session::Role;
use reqwest::Method;
use serde_json::{Value, json};

/// A colleague with an email account of their own.
pub(super) async fn bob(app: &TestApp) -> Client {
    let bob = app.client.colleague(&app.db, Role::Member).await;
    let account = json!({
        "provider": "imap_smtp", "address": "bob@acme.example",
        "smtp": {"host": "127.0.0.1", "port": app.sink.addr.port(), "security": "none"},
        "username": "bob", "password": "hunter2-marked"
    });
    let connected = post(&bob, "/v1/connections", &account).await;
    assert_eq!(connected.status, 201, "{}", connected.text);
    bob
}

/// Approves without a hold, and waits until the email has left; its sender.
async fn sender_after(app: &TestApp, client: &Client, approval: &str) -> String {
    let request = decision(client, approval, "approve", 1).json(&json!({"hold_seconds": 0}));
    let agreed = send(request).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
    approval_in(client, approval, "executed").await;
    app.sink.received().last().unwrap().from.clone()
}

#[tokio::test]
async fn draft_that_a_delegate_approves_leaves_from_its_owner_s_account() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let bob = bob(&app).await;
    let (owner, delegate) = (
        user_of(&app.db, &app.client).await,
        user_of(&app.db, &bob).await,
    );
    seed::draft(&app.db, app.client.tenant, Some(owner), "Hello.").await;
    let approval: String = app.db.one("select approval_id::text from drafts").await;
    let path = format!("/v1/users/me/delegates/{delegate}");
    let added = send(app.client.request(Method::PUT, &path)).await;
    assert_eq!(added.status, 204, "{}", added.text);
    assert_eq!(
        sender_after(&app, &bob, &approval).await,
        "owner@acme.example"
    );
    let decided: String = app.db.one("select decided_by::text from approvals").await;
    assert_eq!(decided, delegate.to_string());
}

#[tokio::test]
async fn email_that_a_second_person_approves_leaves_from_the_account_of_the_one_who_asked() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let bob = bob(&app).await;
    app.db.execute("update tenants set four_eyes = true").await;
    let approval = app.written("Hello").await;
    assert_eq!(
        sender_after(&app, &bob, &approval).await,
        "owner@acme.example"
    );
}

#[tokio::test]
async fn reply_that_nobody_asked_for_leaves_from_the_account_that_its_email_came_to() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let bob = bob(&app).await;
    let email = json!({
        "mode": "rules_only",
        "message": {
            "message_id": "<1@x.example>", "from": {"addr": "ada@x.example"}, "to": [{"addr": "owner@acme.example"}],
            "subject": "Plan", "body_text": "Which one is it?",
        },
    });
    let triaged = crate::drafts::generated::done(&app.client, "/v1/jobs/triage", &email).await;
    let action: Value = json!({
        "type": "reply", "message_id": triaged["message"]["id"], "payload": {"body": "The second one."},
    });
    let approval = app.proposed(&action).await;
    // As a triage proposes it.
    app.db
        .execute("update approvals set requested_by = null")
        .await;
    assert_eq!(
        sender_after(&app, &bob, &approval).await,
        "owner@acme.example"
    );
    // An email without an owner is answered by the person who decides.
    let asked = ask(&bob, &json!({"actions": [send_action("Another")]})).await;
    let job = bob.finished(asked.body["id"].as_str().unwrap()).await;
    let approval = job["output"]["actions"][0]["approval_id"].as_str().unwrap();
    app.db
        .execute("update approvals set requested_by = null")
        .await;
    assert_eq!(sender_after(&app, &bob, approval).await, "bob@acme.example");
}

#[tokio::test]
async fn email_that_leaves_from_a_colleague_s_account_is_approved_as_it_is_and_not_edited() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let bob = bob(&app).await;
    let approval = app.written("Hello").await;
    let edit = |client: &Client, version| {
        decision(client, &approval, "edit", version)
            .json(&json!({"patch": {"body": "My own words."}}))
    };
    send(edit(&bob, 1))
        .await
        .assert_problem(403, "NOT_YOURS", "Bob's words in her name");
    assert_eq!(
        sender_after(&app, &bob, &approval).await,
        "owner@acme.example"
    );
    let own = app.written("Again").await;
    let edited =
        decision(&app.client, &own, "edit", 1).json(&json!({"patch": {"body": "Her own words."}}));
    assert_eq!(send(edited).await.status, 200);
}
