//! A draft is sent as it was agreed to, once, and goes where its approval goes.

use super::{TestApp, approval_in};
use crate::{
    approvals::{decide, decision},
    drafts::seed,
    support::client::send,
};
use dev::smtp_sink::SinkFault;
use serde_json::json;

/// A ready draft of this app's user; its id and that of its approval.
async fn drafted(app: &TestApp, text: &str) -> (String, String) {
    let draft = seed::draft(&app.db, app.client.tenant, None, text).await;
    let sql = format!("select approval_id::text from drafts where id = '{draft}'");
    let approval: String = app.db.one(Box::leak(sql.into_boxed_str())).await;
    (draft.to_string(), approval)
}

async fn status_of(app: &TestApp, draft: &str) -> String {
    let sql = format!("select status from drafts where id = '{draft}'");
    app.db.one(Box::leak(sql.into_boxed_str())).await
}

#[tokio::test]
async fn an_approved_draft_is_sent_once_in_its_thread() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let (draft, approval) = drafted(&app, "I will come.").await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let received = app.sink.received();
    assert_eq!(received.len(), 1);
    let mail = &received[0];
    assert_eq!(mail.header("in-reply-to").as_deref(), Some("<1@x.example>"));
    assert_eq!(
        mail.header("references").as_deref(),
        Some("<0@x.example> <1@x.example>")
    );
    assert_eq!(mail.text.matches("Re:").count(), 1, "{}", mail.text);
    assert!(mail.text.contains("I will come."));
    assert_eq!(status_of(&app, &draft).await, "sent");
    let told = "select count(*) from history_entries where object_kind = 'draft' and verb = 'sent'";
    assert_eq!(app.db.one::<i64>(told).await, 1);
    decide(&app.client, &approval, "approve", 1)
        .await
        .assert_problem(409, "CONFLICT", "sent before");
}

#[tokio::test]
async fn a_draft_that_may_have_been_sent_says_so_until_a_person_has_looked() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let (draft, approval) = drafted(&app, "I will come.").await;
    app.sink.misbehave([SinkFault::DropReply]);
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "failed").await;
    assert_eq!(status_of(&app, &draft).await, "send_unknown");
    let effect = app.effect().await;
    let path = format!("/v1/effects/{}/resolve", effect["id"].as_str().unwrap());
    let resolve = app.client.request(reqwest::Method::POST, &path);
    assert_eq!(send(resolve.json(&json!({"done": true}))).await.status, 200);
    assert_eq!(status_of(&app, &draft).await, "sent");
    assert_eq!(app.sink.received().len(), 1);
}

#[tokio::test]
async fn what_is_called_back_is_ready_again_and_what_was_discarded_is_never_sent() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let (draft, approval) = drafted(&app, "I will come.").await;
    let held = send(decision(&app.client, &approval, "approve", 1)).await;
    assert_eq!(held.status, 200, "{}", held.text);
    assert_eq!(status_of(&app, &draft).await, "approved");
    assert_eq!(
        decide(&app.client, &approval, "revoke", 1).await.status,
        200
    );
    assert_eq!(status_of(&app, &draft).await, "ready");
    app.db
        .execute("update drafts set status = 'discarded'")
        .await;
    decide(&app.client, &approval, "approve", 2)
        .await
        .assert_problem(409, "CONFLICT", "discarded");
    assert_eq!(app.sink.received(), []);
}

#[tokio::test]
async fn a_draft_that_went_elsewhere_after_the_agreement_is_not_sent() {
    let app = TestApp::open().await;
    let (draft, approval) = drafted(&app, "I will come.").await;
    app.agree(&approval).await;
    let elsewhere = format!("update drafts set status = 'discarded' where id = '{draft}'");
    app.db.execute(&elsewhere).await;
    let found = app.client.get(&format!("/v1/approvals/{approval}")).await;
    let job = found.body["execution_job_id"].as_str().unwrap();
    let _worker = app.worker().await;
    let ended = app.client.finished(job).await;
    assert_eq!(ended["error"]["code"], "approval_changed", "{ended}");
    assert_eq!(app.sink.received(), []);
}
